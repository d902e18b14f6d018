"""Rows decide: near ones first, those whose answers belong to their inputs before those whose do
not; and the hub is asked for few, telling words."""

import numpy as np
import pytest

from distillation.hub.queries import queries_for
from distillation.hub.ranking import Remembering, rank, relation
from distillation.pipeline.types import Example, Requirement
from distillation.pipeline.understand.intent import understand
from distillation.tests.hub.test_hub import WordsEmbedder

LEAKS = [Example(f"the {thing} leaks water", "plumbing") for thing in ("tap", "sink", "pipe")]
LIGHTS = [Example(f"no light in the {room}", "electrical") for room in ("hall", "bath", "attic")]
ROWS = [*LEAKS, *LIGHTS] * 3
REQUIREMENT = Requirement(
    "Sort each repair request into plumbing or electrical.",
    examples=(
        Example("the boiler leaks water", "plumbing"),
        Example("no light at all", "electrical"),
    ),
)


class Counting(WordsEmbedder):
    def __init__(self):
        self.texts = []

    def embed(self, texts, *, on_batch=None):
        self.texts += texts
        return super().embed(texts)


def exchanged(rows):
    outputs = [row.output for row in rows]
    mixed = outputs[::2] + outputs[1::2]
    return [Example(row.input, output) for row, output in zip(rows, mixed, strict=True)]


def test_answers_that_belong_to_their_inputs_have_a_relation_and_exchanged_ones_have_less():
    assert relation(ROWS, WordsEmbedder()) > 0.9
    assert relation(exchanged(ROWS), WordsEmbedder()) < 0.5
    assert relation(ROWS[:3], WordsEmbedder()) == 0.0  # too few to say


def test_a_relation_is_by_how_much_neighbours_agree_beyond_chance():
    class Corners:
        """Two places for inputs, two for answers: "a1" is an input of place a."""

        def embed(self, texts):
            places = {"a": 0, "b": 1, "x": 2, "y": 3}
            return np.eye(4, dtype=np.float32)[[places[text[0]] for text in texts]]

    rows = [Example(f"a{n}", "x") for n in range(6)] + [Example(f"b{n}", "y") for n in range(6)]
    # All five neighbours agree; of two rows by chance 60 of 132 do: (1 - c) / (1 - c) = 1.
    assert relation(rows, Corners()) == pytest.approx(1.0)
    mixed = [Example(f"{'ab'[n % 2]}{n}", "xxyy"[n % 4]) for n in range(12)]
    # Of a place's other rows two agree and three do not: 0.4, where chance is 60 of 132.
    assert relation(mixed, Corners()) == pytest.approx((0.4 - 60 / 132) / (1 - 60 / 132))


def test_the_right_rows_come_before_noise_and_other_topics():
    others = [
        Example(f"write of the {thing}", f"O {thing} so fair") for thing in ["sea", "sky", "sun"]
    ]
    sources = {"noise": exchanged(ROWS), "poems": others * 6, "right": ROWS}
    order = rank(REQUIREMENT, sources, understand(REQUIREMENT), None, WordsEmbedder())
    assert [each.name for each in order] == ["right", "noise", "poems"]


def test_rows_of_the_right_form_whose_answers_belong_to_other_inputs_are_doubted():
    rng = np.random.default_rng(0)
    labels = rng.permutation([row.output for row in ROWS * 8])
    noise = [Example(row.input, str(label)) for row, label in zip(ROWS * 8, labels, strict=True)]
    order = rank(REQUIREMENT, {"noise": noise}, understand(REQUIREMENT), None, WordsEmbedder())
    assert order[0].fit.verdict != "serves"


def test_without_examples_the_words_of_the_requirement_decide():
    sources = {"poems": [Example("sea and sky", "O sea")] * 8, "right": ROWS}
    requirement = Requirement("Sort repair requests: the tap leaks water, no light in the hall.")
    order = rank(requirement, sources, understand(requirement), None, WordsEmbedder())
    assert order[0].name == "right"


def test_no_text_is_embedded_twice():
    embedder = Counting()
    remembering = Remembering(embedder)
    first = remembering.embed(["a", "b", "a"])
    assert (remembering.embed(["b"]) == first[1:2]).all()
    assert embedder.texts == ["a", "b"]


def test_the_hub_is_asked_for_telling_words_and_the_tags_of_the_task():
    queries = queries_for(REQUIREMENT, understand(REQUIREMENT))
    asked = [query.search for query in queries if query.search]
    assert {"repair", "plumbing", "electrical"} <= set(asked)
    assert not {"each", "into", "request"} & set(asked[:1])
    assert any("task_categories:text-classification" in query.filters for query in queries)
    assert str(queries[-1]) == "what is used most"
    assert len(queries) < 25


def test_no_example_of_the_user_goes_to_the_hub():
    queries = queries_for(REQUIREMENT, understand(REQUIREMENT))
    assert not any("boiler" in str(query) for query in queries)
