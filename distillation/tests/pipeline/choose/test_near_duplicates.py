"""One question asked in many spellings is one group; questions that differ stay apart."""

import json
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from distillation.pipeline.choose.near_duplicates import near_duplicate_groups, normal_form
from modelstation.testing import shared_data

QUESTION = "How can I transfer money into my new account?"


@pytest.mark.parametrize(
    "variant",
    [
        QUESTION.upper(),
        QUESTION.replace(" ", "  "),
        QUESTION.replace("?", " !!"),
        QUESTION.replace(" ", " \u200b"),
        QUESTION + " 🙏",
        QUESTION.replace("money", "mone\u0301y"),
        QUESTION.replace("a", "а").replace("o", "о"),  # Cyrillic
        QUESTION.replace("o", "ο"),  # Greek
        "Ｈow can I transfer money into my new account?",  # full width
    ],
)
def test_spellings_of_one_text_have_one_normal_form(variant):
    assert normal_form(variant) == normal_form(QUESTION)


def test_the_normal_form_keeps_what_other_scripts_need():
    assert normal_form("कि") != normal_form("का")
    assert normal_form("한국어") == "한국어"
    assert normal_form("👍") != normal_form("👎")


@pytest.mark.parametrize(
    "variant",
    [
        QUESTION.replace("transfer", "trasnfer"),
        QUESTION.replace("my new", "m ynew"),
        f"Hi, {QUESTION} Thanks",
        f"Hello there, please: {QUESTION} Thank you so much!",
        QUESTION.replace("transfer", "transferr"),
    ],
)
def test_typos_and_courtesies_join_a_group(variant):
    assert near_duplicate_groups([QUESTION, "Where is my card?", variant]) == [0, 1, 0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 12 plus 17 of these?", "What is 12 plus 71 of these?"),
        ("turn on the lights in the kitchen", "turn off the lights in the kitchen"),
        ("I can use my card in shops of the town", "I can't use my card in shops of the town"),
        ("Hi", "Thanks"),
        ("Do you accept cash?", "Do you accept cards?"),
        ("👍", "👎"),
    ],
)  # fmt: skip
def test_texts_that_differ_in_what_matters_stay_apart(one, other):
    assert near_duplicate_groups([one, other]) == [0, 1]


def test_the_wording_of_an_instruction_does_not_make_its_inputs_alike():
    words = ["balm", "bale", "barn", "bark", "bard", "band", "bath", "bane", "balk", "bait", "bail"]
    texts = [f"Give the dictionary definition of this English word: {word}." for word in words]
    assert len(set(near_duplicate_groups(texts))) == len(words)


def test_vectors_join_what_the_letters_do_not():
    texts = ["where is my card", "my card has yet to arrive", "close the account"]
    vectors = np.array([[1, 0], [0.96, 0.28], [0, 1]], dtype=np.float32)
    assert near_duplicate_groups(texts, vectors) == [0, 0, 2]
    assert near_duplicate_groups([], None) == []


def test_the_variants_of_forty_real_questions_are_found_and_the_questions_kept_apart():
    dirty = shared_data() / "dirty"
    rows = [json.loads(line) for line in (dirty / "01_near_duplicates.jsonl").open()]
    key = json.loads((dirty / "keys" / "01_near_duplicates.json").read_text())
    original = {entry["id"]: entry["of"] for entry in key}
    kind = {entry["id"]: entry["kind"] for entry in key}
    truth = [original.get(row["id"], row["id"]) for row in rows]
    result = near_duplicate_groups([row["messages"][0]["content"] for row in rows])

    pairs = list(combinations(range(len(rows)), 2))
    same, joined = (
        {(i, j) for i, j in pairs if of[i] == of[j]} for of in (truth, result)
    )  # fmt: skip
    missed = Counter(kind.get(rows[i]["id"]) or kind.get(rows[j]["id"]) for i, j in same - joined)
    precision, recall = len(same & joined) / len(joined), len(same & joined) / len(same)
    figures = f"precision {precision:.3f}, recall {recall:.3f}, missed {dict(missed)}"
    assert precision == 1, figures
    assert recall == 1, figures
