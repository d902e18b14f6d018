"""Files of every kind become rows of one schema; what cannot be used is said, never a crash."""

import gzip
import json
import tracemalloc

import pytest

from distillation.imports.reading.errors import ImportRefused, RowError
from distillation.imports.reading.rows import ReadOptions, inspect_file, read_examples
from distillation.imports.reading.shapes import ColumnMapping
from distillation.imports.reading.streams import Limits

CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "hello"}]}
WANTED = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "hello"}]


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def rows_of(path, **options):
    return list(read_examples(path, ReadOptions(**options)))


def one_error(path, **options):
    [error] = [row for row in rows_of(path, **options) if isinstance(row, RowError)]
    return error


@pytest.mark.parametrize(
    "row",
    [
        CHAT,
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "hello"}]},
        {"instruction": "Hi", "input": "", "output": "hello"},
        {"prompt": "Hi", "completion": "hello"},
        {"text": "Hi", "label": "hello"},
        {"question": "Hi", "answer": "hello"},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
                {"role": "assistant", "content": "hello\r\n"},
            ]
        },
    ],
    ids=["chat", "sharegpt", "alpaca", "prompt", "label", "question", "content parts"],
)
def test_each_shape_becomes_the_same_messages_and_the_same_hash(write, row):
    [example] = rows_of(write("rows.jsonl", [row]))
    assert example.messages == WANTED
    assert example.content_hash == rows_of(write("chat.jsonl", [CHAT]))[0].content_hash


def test_an_alpaca_input_is_put_below_its_instruction(write):
    [example] = rows_of(
        write("a.jsonl", [{"instruction": "Translate.", "input": "Haus", "output": "house"}])
    )
    assert example.messages[0]["content"] == "Translate.\n\nHaus"


def test_facts_come_from_the_row_unless_the_caller_knows_better(write):
    path = write(
        "tickets.jsonl",
        [CHAT | {"id": 7, "source": "mine", "license": "MIT", "task": "t"}, CHAT | {"license": ""}],
    )
    given, bare = rows_of(path)
    assert (given.source, given.license, given.task, given.external_id) == ("mine", "MIT", "t", "7")
    assert (bare.source, bare.license, bare.task) == ("tickets", "unknown", "")
    assert bare.external_id == bare.content_hash[:16]
    assert {row.license for row in rows_of(path, license="CC0-1.0")} == {"CC0-1.0"}
    assert {row.source for row in rows_of(path, source="ours")} == {"ours"}


def test_csv_is_read_with_its_own_delimiter_encoding_and_column_names(write):
    text = 'Spalte;Wert\n"Wo; bitte?";hier\nWas kostet das – 5 €?;viel\n'
    path = write("fragen.csv", text.encode("cp1252"))
    mapping = ColumnMapping(user="Spalte", assistant="Wert")
    assert [row.messages[0]["content"] for row in rows_of(path, columns=mapping)] == [
        "Wo; bitte?",
        "Was kostet das – 5 €?",
    ]
    with pytest.raises(ImportRefused, match="Spalte, Wert.*Say which columns"):
        inspect_file(path, ReadOptions())


def test_a_csv_row_that_is_broken_does_not_take_the_next_one_with_it(write):
    path = write("t.csv", 'text,label\none,1\ntwo,2,extra\n"a ""quoted"" line\nbreak",3\n,4\n')
    rows = rows_of(path)
    assert [row.messages[1]["content"] for row in rows if not isinstance(row, RowError)] == [
        "1",
        "3",
    ]
    assert [(e.line, e.code) for e in rows if isinstance(e, RowError)] == [
        (3, "wrong_columns"),
        (6, "empty"),
    ]


def test_a_json_array_is_streamed_and_a_broken_one_refused_whole(write):
    text = "[\n" + ",\n".join(json.dumps(CHAT | {"id": n, "pad": "x" * 900}) for n in range(3000))
    rows = rows_of(write("rows.json", text + "\n]"))
    assert len(rows) == 3000
    assert (rows[2999].external_id, rows[2999].line) == ("2999", 3001)
    with pytest.raises(ImportRefused, match="near line 3001"):
        inspect_file(write("cut.json", text), ReadOptions())


def test_labels_given_by_number_get_their_names(write):
    path = write("l.jsonl", [{"text": "a", "label": 1}, {"text": "b", "label": 9}])
    mapping = ColumnMapping("text", "label", labels=("no", "yes"))
    named, unknown = rows_of(path, columns=mapping)
    assert named.messages[1]["content"] == "yes"
    assert unknown.code == "unknown_label"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ([1], "yes"),
        (["yes"], "yes"),
        (["no", "yes"], '["no", "yes"]'),
        ([], "[]"),
        ([{"text": "Zoë", "type": "PER"}], '[{"text": "Zoë", "type": "PER"}]'),
        ({"when": None}, '{"when": null}'),
        ([{"type": "text", "text": "a"}, {"text": "b"}], "a\nb"),
    ],
)
def test_an_answer_that_has_a_structure_is_read_as_json(write, answer, text):
    path = write("l.jsonl", [{"text": "a", "label": answer}])
    [row] = rows_of(path, columns=ColumnMapping("text", "label", labels=("no", "yes")))
    assert row.messages[1]["content"] == text


@pytest.mark.parametrize(
    ("line", "code", "field"),
    [
        ('{"messages": [{"role": "user", "content": "only"}]}', "no_answer", "messages"),
        ('{"messages": [{"role": "assistant", "content": "x"}]}', "no_question", "messages"),
        ('{"messages": []}', "no_messages", "messages"),
        (json.dumps({"messages": [CHAT["messages"][0]] * 2 + CHAT["messages"][1:]}),
         "turn_order", "messages"),
        ('{"messages": [{"role": "robot", "content": "x"}]}', "unknown_role", "messages[0].role"),
        ('{"messages": [{"role": "user", "content": 12}]}', "not_text", "messages[0].content"),
        ('{"prompt": "only this"}', "missing_field", "messages"),
        (json.dumps({"messages": [{"role": "user", "content": "\u200b\ufeff "}]}),
         "empty", "messages[0].content"),
        ('{"messages": 1, "messages": 2}', "duplicate_key", "messages"),
        ("{'messages': 1}", "broken_json", ""),
        ("[" * 5000, "broken_json", ""),
        ("[]", "not_an_object", ""),
        ("null", "not_an_object", ""),
    ],
)  # fmt: skip
def test_a_bad_row_is_left_out_with_line_field_and_a_remedy(write, line, code, field):
    path = write("rows.jsonl", f"{json.dumps(CHAT)}\n\n{line}\n{json.dumps(CHAT)}\n")
    error = one_error(path)
    assert (error.file, error.line, error.code, error.field) == ("rows.jsonl", 3, code, field)
    assert error.message
    assert error.hint
    assert len(rows_of(path)) == 3


def test_broken_bytes_cost_one_row_and_odd_characters_are_repaired_and_flagged(write):
    answer = b'"assistant","content":"x"}]}\n'
    lines = [
        b'{"messages":[{"role":"user","content":"caf\xe9 \xff"},{"role":' + answer,
        b'{"messages":[{"role":"user","content":"a\\u0000b \\u001b[31m"},{"role":' + answer,
        b'{"messages":[{"role":"user","content":"half \\ud83d"},{"role":' + answer,
    ]
    path = write("odd.jsonl", b"\xef\xbb\xbf" + b"".join(lines))
    broken, control, lone = rows_of(path, license="MIT")
    assert (broken.code, broken.line) == ("broken_utf8", 1)
    assert control.messages[0]["content"] == "ab [31m"
    assert control.flags == {"control_characters_removed"}
    assert lone.messages[0]["content"] == "half \ufffd"
    assert lone.flags == {"broken_characters_replaced"}


def test_a_conversation_that_ends_with_a_question_loses_that_turn(write):
    turns = [*CHAT["messages"], {"role": "user", "content": "anyone?"}]
    [example] = rows_of(write("r.jsonl", [{"messages": turns}]), license="MIT")
    assert example.messages == WANTED
    assert example.flags == {"unanswered_last_turn_dropped"}


def test_a_hundred_megabyte_line_is_passed_over_in_little_memory(write):
    good = json.dumps(CHAT) + "\n"
    path = write("huge.jsonl", "")
    with path.open("w") as file:
        file.write(good)
        for _ in range(100):
            file.write("x" * 1_000_000)
        file.write("\n" + good)
    tracemalloc.start()
    rows = rows_of(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row.line for row in rows] == [1, 2, 3]
    assert rows[1].code == "line_too_long"
    assert "100.0 MB in one line" in rows[1].message
    assert peak < 30_000_000


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("rows.ods", b"PK\x03\x04", "unknown_file_type"),
        ("rows.xlsx", b"PK\x03\x04", "broken_xlsx"),
        ("rows.jsonl", b"", "empty_file"),
        ("rows.jsonl", b"\n\n  \n", "no_rows"),
        ("rows.csv", b"text,label\n", "no_rows"),
        ("rows.jsonl", b"\x00\x01\x02\xff" * 50, "no_usable_rows"),
        ("rows.jsonl", b'{"colour": "red"}\n', "unknown_columns"),
        ("rows.jsonl", '{"text": "a"}'.encode("utf-16"), "wrong_encoding"),
        ("rows.parquet", b"prompt,completion\na,b\n", "not_parquet"),
        ("rows.parquet", b"PAR1 and then nothing", "broken_parquet"),
        ("rows.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 9, mtime=0)[:-9], "broken_gzip"),
    ],
)
def test_a_file_of_no_use_is_refused_whole_with_a_remedy(write, name, content, code):
    with pytest.raises(ImportRefused) as refusal:
        inspect_file(write(name, content), ReadOptions())
    assert refusal.value.code == code
    assert refusal.value.message.startswith(name)
    assert refusal.value.hint or code == "no_usable_rows"


def test_a_gzip_bomb_is_refused_before_it_has_expanded(write):
    path = write("bomb.jsonl.gz", gzip.compress((json.dumps(CHAT) + "\n").encode() * 40_000))
    limits = Limits(ratio_from_bytes=1 << 20)
    with pytest.raises(ImportRefused, match="expand to more than") as refusal:
        inspect_file(path, ReadOptions(limits=limits))
    assert refusal.value.code == "expands_too_far"
    assert inspect_file(path, ReadOptions()).accepted == 40_000


def test_parquet_rows_are_read_without_their_binary_columns(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "rows.parquet"
    columns = {
        "prompt": ["Hi", None, "a"],
        "completion": ["hello", "b", ""],
        "blob": [b"\xff", b"", b""],
        "score": [float("nan"), 1.0, 2.0],
    }
    parquet.write_table(pa.table(columns), path)
    good, *bad = rows_of(path)
    assert good.messages == WANTED
    assert [(error.line, error.field) for error in bad] == [(2, "prompt"), (3, "completion")]
