"""What the beginning of a file says of it, without a database."""

import gzip
import json

import pytest

from distillation.imports.reading import preview as previews
from distillation.imports.reading.preview import preview_file
from distillation.imports.reading.rows import ReadOptions
from distillation.imports.reading.shapes import ColumnMapping
from distillation.tests.imports.files import lines, pairs


@pytest.fixture
def look(tmp_path):
    def look(name, content, **options):
        path = tmp_path / name
        path.write_bytes(content)
        return preview_file(path, ReadOptions(**options))

    return look


def array(rows):
    return json.dumps(rows).encode()


@pytest.mark.parametrize(
    ("name", "content", "stated"),
    [
        ("a.jsonl", lines(pairs(1)), ("JSON lines", False, "utf-8", "")),
        ("a.jsonl.gz", gzip.compress(lines(pairs(1)), mtime=0), ("JSON lines", True, "utf-8", "")),
        ("a.json", array(pairs(1)), ("JSON array", False, "utf-8", "")),
        ("a.json", lines(pairs(1)), ("JSON lines", False, "utf-8", "")),
        ("a.csv", b"prompt,completion\na,b\n", ("CSV", False, "utf-8", "comma")),
        ("a.tsv", b"prompt\tcompletion\na\tb\n", ("CSV", False, "utf-8", "tab")),
        ("a.csv", b"prompt;completion\n\xfc;b\n", ("CSV", False, "cp1252", "semicolon")),
    ],
)
def test_format_packing_encoding_and_delimiter_are_told(look, name, content, stated):
    preview = look(name, content)
    facts = (preview.format, preview.is_packed, preview.encoding, preview.delimiter)
    assert facts == stated
    assert (preview.accepted, preview.shape) == (1, "prompt → completion")


@pytest.mark.parametrize(
    ("row", "shape"),
    [
        ({"messages": []}, "chat in “messages”"),
        ({"text": "a", "label": "b"}, "text → label"),
        ({"instruction": "a", "input": "b", "output": "c"}, "instruction + input → output"),
        ({"system": "s", "question": "a", "answer": "b"}, "system + question → answer"),
        ({"Spalte": "a", "Wert": "b"}, ""),
    ],
)
def test_the_shape_is_told_in_columns_of_the_file(look, row, shape):
    assert look("a.jsonl", lines([row])).shape == shape


def test_columns_keep_their_order_and_rows_bring_new_ones(look):
    preview = look("a.jsonl", lines([{"b": 1, "a": 2}, {"c": 3, "a": 4}]))
    assert list(preview.columns) == ["b", "a", "c"]


def test_columns_that_are_not_clear_are_no_refusal(look):
    unclear = look("a.csv", b"Spalte;Wert\nWo?;hier\n")
    assert (unclear.mapping, unclear.refusal, unclear.accepted) == (None, None, 0)
    mapping = ColumnMapping("Spalte", "Wert")
    [row] = look("a.csv", b"Spalte;Wert\nWo?;hier\n", columns=mapping).rows
    assert [message["content"] for message in row.messages] == ["Wo?", "hier"]


def test_ten_rows_and_twenty_errors_are_shown_and_all_are_counted(look):
    preview = look("a.jsonl", lines([*pairs(15), *({"prompt": "x"} for _ in range(25))]))
    assert (len(preview.rows), len(preview.errors)) == (10, 20)
    assert (preview.read, preview.accepted, preview.rejected) == (40, 15, 25)
    assert preview.is_whole


@pytest.mark.parametrize(("rows", "read", "is_whole"), [(4, 4, True), (5, 5, True), (9, 5, False)])
def test_of_a_long_file_only_the_beginning_is_read(look, monkeypatch, rows, read, is_whole):
    monkeypatch.setattr(previews, "LOOKED_AT_ROWS", 5)
    preview = look("a.jsonl", lines(pairs(rows)))
    assert (preview.read, preview.is_whole) == (read, is_whole)


def test_nobody_waits_for_a_line_without_an_end(look, monkeypatch):
    monkeypatch.setattr(previews, "LOOKED_AT_BYTES", 10_000)
    refused = look("a.jsonl", b"x" * 50_000)
    assert refused.refusal.code == "expands_too_far"


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.parquet", b"text", "not_parquet"),
        ("a.jsonl", b"", "empty_file"),
        ("a.jsonl.gz", gzip.compress(lines(pairs(99)), mtime=0)[:-30], "broken_gzip"),
        ("a.json", array(pairs(3))[:-5], "broken_json"),
    ],
)
def test_a_file_of_no_use_tells_why(look, name, content, code):
    assert look(name, content).refusal.code == code
