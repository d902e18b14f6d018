"""Rows of an uploaded file: what is taken as it is, what is refused and how that is reported."""

import gzip
import json

import pytest

from distillation.imports.reading.errors import ImportRefused, RowError
from modelstation.testing import shared_data
from training.finetuning.files import look_at
from training.finetuning.lines import Reading, read_lines, readings_of

USER = {"role": "user", "content": "where is my parcel"}
ANSWER = {"role": "assistant", "content": "delivery"}
TOOL = {"type": "function", "function": {"name": "track", "parameters": {"type": "object"}}}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "1",
            "type": "function",
            "function": {"name": "track", "arguments": '{"number": 7}'},
        }
    ],
}


@pytest.fixture
def read(tmp_path):
    """`read(row, …)`: what becomes of rows of JSON lines."""

    def lines(*rows, name="rows.jsonl", reading=None):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return list(read_lines(path, reading))

    return lines


@pytest.fixture
def problem(read):
    """The one problem of a row of these messages."""

    def find(*messages, **more):
        [row] = read({"messages": list(messages), **more})
        assert isinstance(row, RowError), row
        return row.field, row.code

    return find


@pytest.mark.parametrize(
    ("row", "requested", "said"),
    [
        ({"messages": [USER, ANSWER]}, "where is my parcel", "delivery"),
        ({"prompt": "2 + 2", "completion": "4"}, "2 + 2", "4"),
        ({"instruction": "Add.", "input": "2 2", "output": "4"}, "Add.\n\n2 2", "4"),
        ({"text": "lovely", "label": "positive"}, "lovely", "positive"),
        (
            {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
            "a",
            "b",
        ),
    ],
)
def test_each_known_shape_becomes_messages(read, row, requested, said):
    [taken] = read(row)

    assert taken.messages == [
        {"role": "user", "content": requested},
        {"role": "assistant", "content": said},
    ]


def test_a_csv_is_read_by_its_column_names(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text;label\nschön;positive\n", encoding="utf-8")

    [row] = read_lines(path)

    assert row.messages[0]["content"] == "schön"


@pytest.mark.parametrize(
    "columns",
    [
        ("messages", "prompt", "completion"),
        ("messages", "conversations"),
        ("text", "label", "prompt", "completion"),
        ("instruction", "output", "text", "label"),
        ("text", "label", "intent"),
    ],
)
def test_a_file_that_could_be_read_in_two_ways_is_refused(read, columns):
    with pytest.raises(ImportRefused) as refused:
        read(dict.fromkeys(columns, "x"))

    assert refused.value.code == "ambiguous_file"
    assert "line 1" in refused.value.message


@pytest.mark.parametrize(
    "columns",
    [
        ("instruction", "input", "output"),
        ("instruction", "context", "response"),
        ("messages", "id", "source"),
        ("prompt", "completion", "label"),
        ("input", "output"),
    ],
)
def test_fields_that_belong_together_are_read_in_one_way(columns):
    assert len(readings_of(columns)) == 1


def test_an_answer_with_weight_0_is_context_alone(read):
    reading = Reading()
    earlier = [USER, {**ANSWER, "weight": 0}, USER]

    [row] = read({"messages": [*earlier, {**ANSWER, "weight": 1}]}, reading=reading)

    assert len(row.messages) == 4
    assert "weight" not in row.messages[-1]
    assert reading.notes == {}


@pytest.mark.parametrize("weight", [{}, {"weight": 1}, {"weight": None}])
def test_every_answer_of_a_conversation_is_learnt_with_what_was_said_before(read, weight):
    reading = Reading()
    system = {"role": "system", "content": "Help."}
    again = [{"role": "user", "content": "and when"}, {"role": "assistant", "content": "tomorrow"}]

    first, second = read(
        {"messages": [system, USER, {**ANSWER, **weight}, *again], "id": "a"}, reading=reading
    )

    assert first.messages == [system, USER, ANSWER]
    assert second.messages == [system, USER, ANSWER, *again]
    assert (first.line, second.line) == (1, 1)
    assert first.external_id != second.external_id
    assert list(reading.notes) == ["answers"]


def test_what_follows_the_last_learnt_answer_is_left_off(read):
    [row] = read({"messages": [USER, ANSWER, USER, {**ANSWER, "weight": 0}]})

    assert row.messages == [USER, ANSWER]


def test_the_turns_of_a_sharegpt_conversation_are_learnt_too(read):
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}] * 2

    assert [len(row.messages) for row in read({"conversations": turns})] == [2, 4]


def test_a_call_is_an_answer_that_is_learnt_or_not(read):
    result = {"role": "tool", "tool_call_id": "1", "content": "on its way"}

    rows = read({"messages": [USER, CALL, result, ANSWER], "tools": [TOOL]})
    assert [len(row.messages) for row in rows] == [3, 5]  # with the system turn of the tools
    assert rows[0].messages[-1]["content"].startswith("<tool_call>")

    [row] = read({"messages": [USER, {**CALL, "weight": 0}, result, ANSWER], "tools": [TOOL]})
    assert len(row.messages) == 5


def test_a_bad_turn_is_one_problem_however_many_answers_there_are(read):
    blank = {"role": "user", "content": " "}

    found = read(
        {"messages": [blank, ANSWER, USER, ANSWER, USER, ANSWER]},
        {"messages": [USER, ANSWER, USER, ANSWER, ANSWER]},
        {"messages": [USER, ANSWER]},
    )

    problems = [row for row in found if isinstance(row, RowError)]
    assert [(row.line, row.code) for row in problems] == [(1, "empty"), (2, "turn_order")]
    assert found[-1].messages == [USER, ANSWER]


def test_conversations_that_would_become_too_much_text_are_refused(read, monkeypatch):
    monkeypatch.setattr("training.finetuning.lines.MAX_CHARACTERS", 1000)
    long = {"messages": [USER, ANSWER] * 20}

    with pytest.raises(ImportRefused) as refused:
        read(long)

    assert refused.value.code == "too_many_rows"


def test_what_is_wrong_with_a_row_is_named_by_its_field(problem):
    last = "messages[1]"
    assert problem(USER, {**ANSWER, "weight": 2}) == (f"{last}.weight", "bad_weight")
    assert problem(USER, {**ANSWER, "weight": True}) == (f"{last}.weight", "bad_weight")
    assert problem({**USER, "weight": 1}, ANSWER) == ("messages[0].weight", "bad_weight")
    assert problem(USER, {**ANSWER, "weight": 0}) == (f"{last}.weight", "nothing_to_learn")
    assert problem(USER, ANSWER, USER) == ("messages[2].role", "no_answer")
    assert problem(USER) == ("messages", "no_answer")
    assert problem({**USER, "name": 7}, ANSWER) == ("messages[0].name", "bad_name")
    assert problem(USER, {**ANSWER, "role": "wizard"}) == (f"{last}.role", "unknown_role")
    assert problem(USER, ANSWER, functions=[]) == ("functions", "unsupported_field")
    assert problem(USER, ANSWER, tools=[{}]) == ("tools[0]", "bad_tools")
    assert problem(USER, {**CALL, "tool_calls": []}) == (f"{last}.tool_calls", "bad_tool_calls")
    broken = {"function": {"name": "track", "arguments": "{"}}
    field = f"{last}.tool_calls[0].function.arguments"
    assert problem(USER, {**CALL, "tool_calls": [broken]}) == (field, "bad_tool_calls")


def test_rows_for_preference_tuning_are_refused(read):
    [row] = read({"input": {}, "preferred_output": [], "non_preferred_output": []})

    assert (row.field, row.code) == ("preferred_output", "unsupported_field")


def test_tools_are_written_as_text(read):
    results = [
        {"role": "tool", "tool_call_id": "1", "content": "on its way"},
        {"role": "tool", "tool_call_id": "2", "content": "tomorrow"},
    ]
    system = {"role": "system", "content": "Help."}
    reading = Reading()

    *_, row = read(
        {"messages": [system, USER, CALL, *results, ANSWER], "tools": [TOOL]}, reading=reading
    )

    first, _, call, result, answer = row.messages
    assert first["content"].startswith("Help.\n\n# Tools")
    assert json.dumps(TOOL) in first["content"]
    assert call == {
        "role": "assistant",
        "content": '<tool_call>\n{"name": "track", "arguments": {"number": 7}}\n</tool_call>',
    }
    assert result["role"] == "user"
    assert result["content"].count("<tool_response>") == 2
    assert answer["content"] == "delivery"
    assert list(reading.notes) == ["tools", "answers"]


def test_a_row_may_end_with_a_call(read):
    [row] = read({"messages": [USER, CALL], "tools": [TOOL]})

    assert row.messages[0]["role"] == "system"
    assert row.messages[-1]["content"].startswith("<tool_call>")


def test_more_rows_than_a_dataset_holds_refuse_the_file(read, monkeypatch):
    monkeypatch.setattr("training.finetuning.lines.MAX_ROWS", 2)

    with pytest.raises(ImportRefused) as refused:
        read(*[{"prompt": str(i), "completion": "x"} for i in range(3)])

    assert refused.value.code == "too_many_rows"


def test_every_bad_row_is_written_down_and_the_first_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("training.finetuning.files.SHOWN_PROBLEMS", 2)
    path = tmp_path / "rows.jsonl"
    good, bad = {"prompt": "a", "completion": "b"}, {"prompt": "", "completion": "b"}
    path.write_text("".join(json.dumps(row) + "\n" for row in [good, bad, bad, good, bad]))

    look = look_at(path, tmp_path / "problems.jsonl")

    assert (look.rows, look.problem_count) == (2, 3)
    assert [problem.line for problem in look.problems] == [2, 3]
    written = [json.loads(line) for line in (tmp_path / "problems.jsonl").open()]
    assert [problem["line"] for problem in written] == [2, 3, 5]
    assert set(written[0]) == {"line", "field", "code", "message", "hint"}
    assert "Line 2, field prompt" in look.details
    assert "twice" in look.notes[0]


def test_what_refuses_the_whole_file_stands_first(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("Spalte,Wert\na,b\n")

    look = look_at(path, tmp_path / "problems.jsonl")

    assert (look.problems[0].line, look.problems[0].code) == (0, "unknown_columns")
    assert look.details.startswith("2 problem(s). The file: ")


def test_nothing_in_a_file_is_a_problem_too(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n\n")

    assert look_at(path, tmp_path / "problems.jsonl").problems[0].code == "no_rows"


def test_packed_lines_are_read(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"prompt": "a", "completion": "b"}\n'))

    assert len(list(read_lines(path))) == 1


# Rows that are of use and rows that are not, in files that an importer must survive.
DIRTY = {
    "01_near_duplicates.jsonl": (200, 0),
    "03_empty_rows.jsonl": (13, 14),
    "07_huge_rows.jsonl.gz": (10, 4),
    "08_cp1252_semicolon.csv": (20, 0),
    "10_bom_crlf_no_final_newline.jsonl": (10, 0),
    "11_broken_json.jsonl": (5, 12),
    "12_invalid_utf8_and_nul.jsonl": (6, 2),
    "13_alpaca_array.json": (21, 2),
    "14_sharegpt_conversations.jsonl": (17, 1),
    "15_prompt_completion.parquet": (30, 3),
    "17_not_really_a.parquet": (0, 1),
}


@pytest.mark.parametrize("name", DIRTY)
def test_a_dirty_file_is_survived_and_reported_row_by_row(name, tmp_path):
    look = look_at(shared_data() / "dirty" / name, tmp_path / "problems.jsonl")

    assert (look.rows, look.problem_count) == DIRTY[name]
    assert all(problem.message and problem.hint for problem in look.problems)
