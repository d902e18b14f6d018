"""Rows that people taught, among those of a small corpus."""

import pytest

from distillation.pipeline.choose.splits import assign_splits
from distillation.pipeline.corrections import SOURCE
from distillation.pipeline.dataset_generator import DatasetGenerator
from distillation.pipeline.licenses import LicensePolicy
from distillation.pipeline.types import (
    Correction,
    Example,
    IntentEdits,
    Requirement,
    SelectionConfig,
)
from distillation.tests.pipeline.catalog import MemoryCatalog
from distillation.tests.pipeline.rows import WordsEmbedder, candidate
from distillation.tests.pipeline.test_generator import BANK, LABELS, corpus

CLOSED = IntentEdits(labels=LABELS)
HELD_OUT = [Example("did the parcel with my plastic arrive in lagos", "card_arrival")]


def generate(*corrected, requirement=BANK, pool=None, edits=CLOSED, held_out=HELD_OUT, **config):
    corrections = [
        Correction(str(number), requested, answer, f"correction {number}")
        for number, (requested, answer) in enumerate(corrected)
    ]
    generator = DatasetGenerator(MemoryCatalog(pool or corpus()), WordsEmbedder())
    wanted = SelectionConfig(**{"rows": 100} | config)
    return generator.generate(requirement, wanted, held_out, edits=edits, corrections=corrections)


def corrected_rows(selection):
    rows = [row for row in selection.rows if row.step == "correction"]
    return {row.candidate.id: row for row in rows}


def test_they_come_on_top_of_all_others_within_the_rows_asked_for():
    selection = generate(
        ("my plastic never came", "card_arrival"), ("no coins at all", "top_up_failed")
    )
    rows = corrected_rows(selection)
    assert len(selection.rows) == 100
    assert {row.reason for row in rows.values()} == {"correction 0", "correction 1"}
    assert {row.split for row in rows.values()} == {"train"}
    assert {(row.candidate.source, row.candidate.license) for row in rows.values()} == {
        (SOURCE, "own data")
    }
    assert selection.refused_corrections == ()


def test_without_any_the_dataset_is_the_same_as_ever():
    plain = DatasetGenerator(MemoryCatalog(corpus()), WordsEmbedder())
    before = plain.generate(BANK, SelectionConfig(rows=100), HELD_OUT, edits=CLOSED)
    assert generate().digest == before.digest
    assert SOURCE not in {step.name for step in generate().funnel}


@pytest.mark.parametrize(
    ("requested", "answer", "why"),
    [
        ("my plastic never came", "mortgage", "its answer is none of the model's labels"),
        ("word " * 5_000, "card_arrival", "it is too long"),
        (HELD_OUT[0].input.upper(), "lost_card", "it repeats a held-out row (same text)"),
        (
            f"Hello, {HELD_OUT[0].input}? Thanks.",
            "card_arrival",
            "it repeats a held-out row (contains a held-out text)",
        ),
    ],
)
def test_one_that_a_filter_refuses_says_which(requested, answer, why):
    selection = generate((requested, answer), ("no coins at all", "top_up_failed"))
    assert selection.refused_corrections == (("0", why),)
    assert set(corrected_rows(selection)) == {"1"}
    step = next(step for step in selection.funnel if step.name == SOURCE)
    assert (step.refused, step.kept) == (1, 1)
    assert why in step.examples[0]


@pytest.mark.parametrize(
    ("requested", "answer", "why"),
    [
        ("My PLASTIC never came!", "card_arrival", "another correction says the same"),
        (
            "my plastic never came",
            "lost_card",
            "another correction answers the same input differently",
        ),
    ],
)
def test_of_two_that_repeat_or_contradict_one_another_the_first_is_taken(requested, answer, why):
    selection = generate(("my plastic never came", "card_arrival"), (requested, answer))
    assert set(corrected_rows(selection)) == {"0"}
    assert selection.refused_corrections == (("1", why),)


def test_a_label_takes_the_users_spelling_and_a_new_one_is_taken_where_the_set_is_open():
    closed = corrected_rows(generate(("my plastic never came", "Card Arrival")))
    assert closed["0"].messages[-1]["content"] == "card_arrival"
    opened = corrected_rows(
        generate(("my plastic never came", "card_delayed"), edits=IntentEdits())
    )
    assert opened["0"].messages[-1]["content"] == "card_delayed"


def test_no_licence_policy_keeps_out_what_the_organisation_wrote():
    only = LicensePolicy("named", names=("CC-BY-4.0",))
    assert set(corrected_rows(generate(("no coins at all", "lost_card"), license_policy=only))) == {
        "0"
    }


def test_a_corpus_row_that_contradicts_one_gives_way():
    row = corpus()[3]
    requested = row.messages[1]["content"]
    other = next(label for label in LABELS if label != row.answer)
    selection = generate((requested, other), rows=200)
    answers = [
        row.messages[2]["content"]
        for row in selection.rows
        if row.messages[1]["content"] == requested
    ]
    assert answers == [other]


def test_json_that_does_not_fit_the_schema_is_refused():
    pool = [
        candidate(f"book table {n} for {n} people", f'{{"people": {n}}}', source="tables")
        for n in range(1, 120)
    ]
    requirement = Requirement(
        "Extract the number of people as JSON with the key people.",
        examples=(Example("book table 200 for 4 people", '{"people": 4}'),),
    )
    selection = generate(
        ("a table for six", '{"people": 6}'),
        ("a table for nobody", "six"),
        requirement=requirement,
        pool=pool,
        edits=IntentEdits(task_kind="extract_json"),
        held_out=[],
    )
    assert set(corrected_rows(selection)) == {"0"}
    [(refused, why)] = selection.refused_corrections
    assert refused == "1"
    assert why.startswith("its answer")


def test_twins_of_what_is_for_training_go_nowhere_else():
    hashes, groups = [f"h{i}" for i in range(200)], [i // 4 for i in range(200)]
    splits = assign_splits(
        hashes, groups, SelectionConfig(), held_out=False, for_training=set(range(20))
    )
    assert set(splits[:80]) == {"train"}
    assert {"valid", "test"} <= set(splits[80:])
