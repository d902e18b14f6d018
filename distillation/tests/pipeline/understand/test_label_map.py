from collections import Counter

import numpy as np

from distillation.pipeline.types import LabelRule
from distillation.pipeline.understand.label_map import (
    MappedLabels,
    labels_of_sources,
    propose_label_map,
)
from distillation.tests.pipeline.rows import candidate

WANTED = ("Positive", "Negative", "Neutral")


def no_meaning(texts):
    return np.zeros((len(texts), 4), dtype=np.float32)


def proposed(counts, wanted=WANTED, rules=(), embed=no_meaning):
    lines = propose_label_map({"reviews": Counter(counts)}, wanted, rules, embed)
    return {line.label: (line.mapped_to, line.how) for line in lines}


def test_the_same_label_in_another_spelling_is_the_users():
    assert proposed(["positive", "NEUTRAL"]) == {
        "positive": ("Positive", "same"),
        "NEUTRAL": ("Neutral", "same"),
    }


def test_abbreviations_typos_and_longer_names_are_mapped_by_name():
    result = proposed(["pos", "negatve", "very_neutral", "ne", "mixed"])
    assert result == {
        "pos": ("Positive", "name"),
        "negatve": ("Negative", "name"),
        "very_neutral": ("Neutral", "name"),
        "ne": ("", ""),
        "mixed": ("", ""),
    }


def test_a_name_that_two_labels_share_is_left_open():
    assert proposed(["card"], wanted=("card_lost", "card_arrival")) == {"card": ("", "")}


def test_meaning_maps_only_what_is_near_one_label_and_far_from_the_others():
    vectors = {
        "Positive": (1.0, 0.0),
        "Negative": (0.0, 1.0),
        "happy": (0.8, 0.6),  # 0.8 to positive, 0.6 to negative
        "torn": (0.71, 0.70),  # near both
        "blue": (0.5, 0.1),  # near none
    }
    result = proposed(
        ["happy", "torn", "blue"],
        wanted=("Positive", "Negative"),
        embed=lambda texts: np.array([vectors[text] for text in texts], dtype=np.float32),
    )
    assert result == {"happy": ("Positive", "meaning"), "torn": ("", ""), "blue": ("", "")}


def test_a_persons_word_wins_also_when_it_leaves_a_label_out():
    rules = [LabelRule("reviews", "POSITIVE", "Neutral"), LabelRule("reviews", "neutral", "")]
    assert proposed(["positive", "neutral"], rules=rules) == {
        "positive": ("Neutral", "hand"),
        "neutral": ("", "hand"),
    }


def test_lines_come_by_source_with_the_most_rows_first():
    counts = {"b": Counter(x=1), "a": Counter(y=1, x=5)}
    lines = propose_label_map(counts, ("x", "y"), (), no_meaning)
    assert [(line.source, line.label, line.rows) for line in lines] == [
        ("a", "x", 5),
        ("a", "y", 1),
        ("b", "x", 1),
    ]


def test_answers_are_mapped_per_source():
    lines = propose_label_map(
        {"reviews": Counter(pos=2), "films": Counter(pos=1)},
        WANTED,
        [LabelRule("films", "pos", "Neutral")],
        no_meaning,
    )
    labels = MappedLabels(lines)
    assert labels.answer(candidate("good", "pos", source="reviews")) == "Positive"
    assert labels.answer(candidate("good", "pos", source="films")) == "Neutral"
    assert labels.answer(candidate("good", "pos", source="other")) is None


def test_free_text_is_no_label():
    rows = [candidate("q", "A sentence."), candidate("q", "yes"), candidate("r", "yes")]
    assert labels_of_sources(rows) == {"bank": Counter(yes=2)}
