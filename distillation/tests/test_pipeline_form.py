import json

import pyarrow.parquet

from distillation.pipeline.export import dataset_digest, dataset_facts, write_dataset
from distillation.pipeline.form import (
    MANY_SYSTEM_TURNS,
    held_out_messages,
    model_input,
    telling_sources,
)
from distillation.pipeline.text import hash_messages
from distillation.pipeline.types import (
    Example,
    FunnelStep,
    IntentSpec,
    SelectedRow,
    Selection,
    SelectionConfig,
)
from distillation.tests.pipeline_rows import candidate

INTENT = IntentSpec("classify", "Name it.", (), (), labels=("Card Arrival",))


def test_system_turns_that_only_reword_the_task_are_dropped():
    rows = [candidate(f"q{i}", "a", system=f"Wording {i % 4}") for i in range(40)]
    assert model_input(rows[0], telling_sources(rows)) == "q0"


def test_system_turns_that_carry_information_join_the_input():
    rows = [candidate(f"q{i}", "a", system=f"Section {i}") for i in range(MANY_SYSTEM_TURNS + 1)]
    assert model_input(rows[3], telling_sources(rows)) == "Section 3\n\nq3"


def selected(text, split):
    messages = (
        {"role": "system", "content": "Name it."},
        {"role": "user", "content": text},
        {"role": "assistant", "content": "Card Arrival"},
    )
    return SelectedRow(
        candidate=candidate(text, "card_arrival"),
        messages=messages,
        score=0.5,
        query="q",
        scores={},
        step="select",
        reason="why",
        split=split,
        twin_group="g",
        content_hash=hash_messages(messages),
    )


def selection(rows, held_out=()):
    return Selection(
        rows=tuple(rows),
        held_out=held_out,
        intent=INTENT,
        config=SelectionConfig(),
        routes=(),
        funnel=(FunnelStep("shape", 3, 2),),
        digest=dataset_digest(rows, held_out),
    )


def test_files_hold_every_split_in_the_chat_form(tmp_path):
    rows = [selected("one", "train"), selected("two", "valid"), selected("three", "test")]
    write_dataset(tmp_path, selection(rows))
    line = json.loads((tmp_path / "train.jsonl").read_text())
    assert [m["role"] for m in line["messages"]] == ["system", "user", "assistant"]
    assert (line["source"], line["license"], line["reason"]) == ("bank", "CC-BY-4.0", "why")
    table = pyarrow.parquet.read_table(tmp_path / "dataset.parquet").to_pylist()
    assert [(r["split"], r["messages"][1]["content"]) for r in table] == [
        ("train", "one"),
        ("valid", "two"),
        ("test", "three"),
    ]


def test_the_users_held_out_rows_are_the_test_split(tmp_path):
    held_out = held_out_messages("Name it.", [Example("mine", "x")])
    dataset = selection([selected("one", "train")], held_out)
    write_dataset(tmp_path, dataset)
    messages = json.loads((tmp_path / "test.jsonl").read_text())["messages"]
    assert [m["content"] for m in messages] == ["Name it.", "mine", "x"]
    assert dataset_facts(dataset)["splits"] == {"train": 1, "valid": 0, "test": 1}


def test_the_digest_is_of_the_content_whatever_the_order():
    one, two = selected("one", "train"), selected("two", "train")
    assert dataset_digest([one, two]) == dataset_digest([two, one])
    assert dataset_digest([one, two]) != dataset_digest([one, selected("two", "test")])
    assert dataset_digest([one]) != dataset_digest([one, two])


def test_facts_count_sources_licences_and_refusals():
    facts = dataset_facts(selection([selected("one", "train")]))
    assert facts["sources"] == {"bank": 1}
    assert facts["licenses"] == {"CC-BY-4.0": 1}
    assert facts["funnel"] == [{"filter": "shape", "refused": 3}]
