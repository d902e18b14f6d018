import json
from dataclasses import replace

import numpy as np
import pytest

from distillation.pipeline.choose.filters import (
    fits_shape,
    hard_filters,
)
from distillation.pipeline.choose.leakage import LeakageIndex
from distillation.pipeline.licenses import LicensePolicy
from distillation.pipeline.types import Example, IntentSpec, LabelMapping, SelectionConfig
from distillation.pipeline.understand.label_map import MappedLabels
from distillation.tests.pipeline.rows import WordsEmbedder, candidate
from modelstation.testing import shared_data


def intent(kind, **fields):
    return IntentSpec(task_kind=kind, system_prompt="", queries=(), task_texts=(), **fields)


def leakage(*inputs):
    return LeakageIndex([Example(text, "a") for text in inputs], WordsEmbedder().embed(inputs))


@pytest.mark.parametrize(
    ("spec", "answer", "fits"),
    [
        (intent("classify", labels=("yes", "no")), "Yes", True),
        (intent("classify", labels=("yes", "no")), "maybe", False),
        (intent("classify"), "card_arrival", True),
        (intent("classify"), "It has arrived.", False),
        (intent("extract_json", json_keys=("a", "b")), '{"a": 1}', True),
        (intent("extract_json", json_keys=("a", "b")), '{"c": 1}', False),
        (intent("extract_json", answer_min_chars=10), "{}", True),
        (intent("extract_json"), "[1]", False),
        (intent("sql", answer_pattern=r"(?is)^select\b"), "SELECT 1", True),
        (intent("sql", answer_pattern=r"(?is)^select\b"), "The query is SELECT 1", False),
        (intent("generate", answer_max_chars=5), "too long", False),
        (intent("generate"), '{"a": 1}', False),
    ],
)
def test_an_answer_must_have_the_form_that_is_asked_for(spec, answer, fits):
    assert fits_shape(answer, spec) is fits


HELD_OUT = "Why was I charged an extra fee when I paid by card in the shop yesterday?"


@pytest.mark.parametrize(
    "text",
    [
        HELD_OUT,
        "WHY WAS I CHARGED  an extra fee, when I paid by card in the shop yesterday",
        f"Hello there. {HELD_OUT} Please tell me soon, I am waiting for an answer of yours.",
        "Why was I charged an extra fee when I paid by card in the shop last week?",
    ],
    ids=["exact", "case and punctuation", "inside a longer message", "most words the same"],
)
def test_a_row_like_a_held_out_one_leaks(text):
    far = np.zeros(384)  # so that the text alone decides
    assert leakage(HELD_OUT).leaks([candidate(text, "other answer", vector=far)]) == [True]


def test_a_near_vector_leaks_whatever_the_words():
    held_out = WordsEmbedder().embed([HELD_OUT])[0]
    assert leakage(HELD_OUT).leaks([candidate("Different words.", "a", vector=held_out)]) == [True]


def test_a_short_held_out_text_inside_a_longer_one_leaks():
    row = candidate("Hi, how do I activate my new card please, I got it today", "x")
    assert leakage("How do I activate my new card?").leaks([row]) == [True]


def test_rows_on_the_same_subject_do_not_leak():
    rows = [
        candidate("Why is there a fee on my card payment?", "fee"),
        candidate("The shop did not take my card yesterday", "declined"),
    ]
    assert leakage(HELD_OUT, "ok").leaks(rows) == [False, False]


def test_nothing_leaks_where_nothing_is_held_out():
    index = LeakageIndex([], np.zeros((0, 384), dtype=np.float32))
    assert index.leaks([candidate("a", "b")]) == [False]


def test_each_refused_row_is_counted_under_the_first_filter_that_refuses_it():
    rows = [
        candidate("a good question here", "yes"),
        candidate("another licence", "yes", license="CC-BY-SA-4.0"),
        candidate("too long", "yes", tokens=2000),
        replace(candidate("Eine gute Frage", "yes"), language="de"),
        candidate("no label", "A sentence."),
        candidate("  ", "yes"),
        candidate(HELD_OUT, "yes"),
    ]
    kept, steps = hard_filters(
        rows,
        intent("classify", language="en"),
        SelectionConfig(license_policy=LicensePolicy("permissive")),
        leakage=leakage(HELD_OUT),
    )
    assert [row.messages[0]["content"] for row in kept] == ["a good question here"]
    assert {step.name: step.refused for step in steps} == dict.fromkeys(
        ("licence", "empty", "length", "language", "shape", "leakage"), 1
    )
    assert steps[4].examples == ("bank: no label → A sentence.",)
    assert steps[5].examples[0].endswith("→ yes (same text)")


def test_rows_whose_answer_breaks_the_schema_are_counted_as_such():
    schema = {"properties": {"size": {"type": "integer"}}, "required": ["size"]}
    rows = [candidate("two boxes", '{"size": 2}'), candidate("two", '{"size": "two"}')]
    wanted = intent("extract_json", json_schema=schema)
    kept, steps = hard_filters(rows, wanted, SelectionConfig(), leakage=leakage())
    assert [row.answer for row in kept] == ['{"size": 2}']
    assert {step.name: step.refused for step in steps if step.refused} == {"schema": 1}


def test_rows_whose_label_has_no_place_in_the_users_set_are_counted_as_such():
    rows = [candidate("a lovely film", "pos"), candidate("a film", "unsure")]
    labels = MappedLabels([LabelMapping("bank", "pos", 1, "positive", "name")])
    kept, steps = hard_filters(
        rows, intent("classify"), SelectionConfig(), leakage=leakage(), labels=labels
    )
    assert [row.answer for row in kept] == ["pos"]
    assert {step.name: step.refused for step in steps if step.refused} == {"label": 1}


def user_text(row):
    return next(m["content"] for m in row["messages"] if m["role"] == "user")


def test_planted_leaks_are_refused_and_clean_rows_are_not():
    """By the words alone: vectors that count words are not those of the real model."""
    data = shared_data()
    rows = [json.loads(line) for line in (data / "dirty/02_test_leakage.jsonl").open()]
    planted = {e["id"] for e in json.loads((data / "dirty/keys/02_test_leakage.json").read_text())}
    files = [path for path in (data / "eval").glob("*.jsonl") if "fixtures" not in path.name]
    held_out = [user_text(json.loads(line)) for path in files for line in path.open()]
    none = np.zeros((len(held_out), 384), dtype=np.float32)
    index = LeakageIndex([Example(text, "") for text in held_out], none)
    verdicts = index.leaks([candidate(user_text(row), "a") for row in rows])
    assert {row["id"] for row, leaks in zip(rows, verdicts, strict=True) if leaks} == planted
