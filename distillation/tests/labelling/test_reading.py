"""Unlabelled inputs from files of many shapes; what is of no use is refused in a sentence."""

import gzip
import json

import pytest

from distillation.imports.reading.errors import ImportRefused
from distillation.labelling.reading import (
    MOST_INPUTS,
    guess_column,
    pasted_inputs,
    read_inputs,
    taken,
)
from distillation.limits import TEXT_CHARS


@pytest.fixture
def written(tmp_path):
    def written(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def test_a_text_has_one_input_per_line(written):
    inputs = read_inputs(written("in.txt", "a leak\n\nno light\n"))
    assert (inputs.texts, inputs.blank, inputs.column) == (["a leak", "no light"], 1, "")


def test_the_column_is_found_by_its_name_else_by_its_texts(written):
    table = "id,Message,lang\n1,a leak,en\n2,no light,en\n"
    inputs = read_inputs(written("in.csv", table))
    assert (inputs.texts, inputs.column) == (["a leak", "no light"], "Message")
    assert guess_column([{"nr": "17", "wish": "please fix the sink", "n": 3}]) == "wish"
    assert read_inputs(written("in.csv", table), "lang").texts == ["en", "en"]


def test_lines_of_json_may_be_chats_and_may_be_packed(written):
    turns = [{"role": "user", "content": "a leak"}, {"role": "assistant", "content": "plumbing"}]
    packed = gzip.compress(json.dumps({"messages": turns}).encode())
    assert read_inputs(written("in.jsonl.gz", packed)).texts == ["a leak"]


def test_rows_that_cannot_be_read_are_counted(written):
    lines = ['{"text": "a leak"}', "{broken", '{"text": ["x"]}', '{"text": null}']
    inputs = read_inputs(written("in.jsonl", "\n".join(lines)))
    assert inputs.texts == ["a leak"]
    assert (inputs.unreadable, inputs.blank) == (1, 2)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("in.txt", b"", "the file is empty"),
        ("in.txt", b"\n \n", "no input could be read"),
        ("in.txt", b"\x7fELF\x00\x01\x02\n" * 50, "no text but binary data"),
        ("in.exe", b"MZ\x00", "this kind of file is not known"),
        ("in.csv", "a,b\n", "no input could be read"),
        ("in.parquet", b"not at all", "does not begin with PAR1"),
    ],
)
def test_a_file_of_no_use_is_refused(written, name, content, words):
    with pytest.raises(ImportRefused, match=words) as refused:
        read_inputs(written(name, content))
    assert refused.value.hint


def test_a_large_file_is_read_as_far_as_it_is_taken(written):
    lines = "".join(f"message {number} {'x' * 2_000}\n" for number in range(25_000))
    assert len(lines) > 50_000_000
    inputs = read_inputs(written("in.txt", lines))
    assert len(inputs.texts) == MOST_INPUTS
    assert inputs.is_cut


def test_a_text_that_is_too_long_is_left_out_and_counted():
    inputs = taken(["a leak", "x" * (TEXT_CHARS + 1)])
    assert (inputs.texts, inputs.too_long) == (["a leak"], 1)


def test_a_pasted_text_has_one_input_per_line_and_what_cannot_be_stored_is_removed():
    assert pasted_inputs("a leak\r\n\r\nno\x00 light").texts == ["a leak", "no light"]
