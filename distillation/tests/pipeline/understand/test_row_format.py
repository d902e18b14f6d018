import json
from dataclasses import dataclass

import pyarrow.parquet

from distillation.pipeline import export
from distillation.pipeline.export import dataset_digest, write_dataset
from distillation.pipeline.text import hash_messages
from distillation.pipeline.types import Example, IntentSpec
from distillation.pipeline.understand.row_format import (
    MANY_SYSTEM_TURNS,
    held_out_messages,
    model_input,
    model_messages,
    sources_with_own_instructions,
)
from distillation.tests.pipeline.rows import candidate

INTENT = IntentSpec("classify", "Name it.", (), (), labels=("Card Arrival",))


def test_system_turns_that_only_reword_the_task_are_dropped():
    rows = [candidate(f"q{i}", "a", system=f"Wording {i % 4}") for i in range(40)]
    assert model_input(rows[0], sources_with_own_instructions(rows)) == "q0"


def test_system_turns_that_carry_information_join_the_input():
    rows = [candidate(f"q{i}", "a", system=f"Section {i}") for i in range(MANY_SYSTEM_TURNS + 1)]
    assert model_input(rows[3], sources_with_own_instructions(rows)) == "Section 3\n\nq3"


@dataclass(frozen=True)
class Row:
    """What a dataset's row is to the files."""

    messages: list
    split: str
    content_hash: str
    source_name: str = "bank"
    task: str = "intent"
    license: str = "CC-BY-4.0"
    score: float = 0.5
    reason: str = "why"


def row(text, split):
    messages = list(model_messages("Name it.", text, "Card Arrival"))
    return Row(messages, split, hash_messages(messages))


def test_files_hold_every_split_in_the_chat_form(tmp_path):
    write_dataset(tmp_path, [row("one", "train"), row("two", "valid"), row("three", "test")])
    line = json.loads((tmp_path / "train.jsonl").read_text())
    assert [m["role"] for m in line["messages"]] == ["system", "user", "assistant"]
    assert (line["source"], line["license"], line["reason"]) == ("bank", "CC-BY-4.0", "why")
    table = pyarrow.parquet.read_table(tmp_path / "dataset.parquet").to_pylist()
    assert [(r["split"], r["messages"][1]["content"]) for r in table] == [
        ("train", "one"),
        ("valid", "two"),
        ("test", "three"),
    ]


def test_rows_are_written_in_one_pass_and_an_empty_dataset_is_files_too(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "RECORDS_AT_ONCE", 2)
    write_dataset(tmp_path, (row(f"row {number}", "train") for number in range(5)))
    assert len((tmp_path / "train.jsonl").read_text().splitlines()) == 5
    assert pyarrow.parquet.read_table(tmp_path / "dataset.parquet").num_rows == 5
    write_dataset(tmp_path, [])
    assert pyarrow.parquet.read_table(tmp_path / "dataset.parquet").num_rows == 0
    assert (tmp_path / "valid.jsonl").read_text() == ""


def test_the_users_held_out_rows_are_the_test_split(tmp_path):
    held_out = held_out_messages("Name it.", [Example("mine", "x")])
    write_dataset(tmp_path, [row("one", "train")], held_out)
    messages = json.loads((tmp_path / "test.jsonl").read_text())["messages"]
    assert [m["content"] for m in messages] == ["Name it.", "mine", "x"]


def test_the_digest_is_of_the_content_whatever_the_order():
    one, two = row("one", "train"), row("two", "train")
    assert dataset_digest([one, two]) == dataset_digest([two, one])
    assert dataset_digest([one, two]) != dataset_digest([one, row("two", "test")])
    assert dataset_digest([one]) != dataset_digest([one, two])
