"""Which sources serve: by what a scorer says of the user's answers, by labels and by form."""

import pytest

from distillation.pipeline.choose.fit import are_labels, rank_sources
from distillation.pipeline.types import Example, Requirement
from distillation.pipeline.understand.intent import understand
from distillation.tests.pipeline.rows import WordsEmbedder

REPLIES = Requirement(
    "Draft a reply to a customer.",
    examples=(
        Example("my bike is late", "Dear customer, it comes on Monday."),
        Example("the lamp is broken", "Dear customer, we send a new one."),
        Example("the price is wrong", "Dear customer, we correct it at once."),
    ),
)
LETTERS = [Example(f"the chair {i} is late", f"Dear customer, number {i} comes.") for i in range(9)]
RHYMES = [Example(f"my bike {i} is late", f"Roses are red and so are {i} bikes.") for i in range(9)]
QUEUES = [
    Example(f"the lamp {i} is broken", ("late_order", "broken_item")[i % 2]) for i in range(9)
]


class StyleScorer:
    """Finds an answer likely where one that begins with the same word was shown for another
    input, likelier still where the inputs share a word.
    """

    def __init__(self):
        self.shown = []

    def nats_per_token(self, shown, questions):
        self.shown.append(list(shown))
        return [min([5.0, *(self._nats(*pair, *q) for pair in shown)]) for q in questions]

    def _nats(self, text, answer, asked, wanted):
        if answer.split()[0] != wanted.split()[0]:
            return 5.0
        return 1.0 if set(text.split()) & set(answer.split()) - {"is"} else 1.5


def fits(requirement, scorer=None, **sources):
    ranked = rank_sources(
        requirement.examples, sources, understand(requirement), scorer, WordsEmbedder()
    )
    return {fit.name: fit for fit in ranked}


def test_rows_that_answer_as_the_examples_do_serve_and_rows_of_their_topic_alone_do_not():
    found = fits(REPLIES, StyleScorer(), rhymes=RHYMES, letters=LETTERS)
    assert list(found) == ["letters", "rhymes"]
    assert (found["letters"].verdict, found["rhymes"].verdict) == ("serves", "related")
    assert found["letters"].gain >= 1
    assert found["rhymes"].gain == 0
    assert "0% as much as your own examples do" in found["rhymes"].reason


def test_exchanged_answers_show_whether_the_answer_depends_on_the_input():
    assert fits(REPLIES, StyleScorer(), letters=LETTERS)["letters"].relation > 0


def test_labels_never_serve_a_writer_and_no_model_is_asked():
    scorer = StyleScorer()
    fit = fits(REPLIES, scorer, queues=QUEUES)["queues"]
    assert (fit.verdict, fit.reason) == (
        "related",
        "its answers are labels, yours are written text",
    )
    assert scorer.shown == []


def test_written_text_never_serves_a_classification():
    wanted = Requirement(
        "Label each: late_order or broken_item.",
        examples=(Example("bike is late", "late_order"), Example("lamp broken", "broken_item")),
    )
    fit = fits(wanted, letters=LETTERS)["letters"]
    assert (fit.verdict, fit.reason) == (
        "related",
        "its answers are written text, yours are labels",
    )


@pytest.mark.parametrize("examples", [(), REPLIES.examples[:1]])
def test_fewer_than_two_examples_test_nothing_and_the_reason_says_so(examples):
    wanted = Requirement(REPLIES.text, examples=examples)
    fit = fits(wanted, StyleScorer(), letters=LETTERS)["letters"]
    assert (fit.verdict, fit.gain) == ("untested", None)
    assert "give two examples" in fit.reason


def test_a_row_that_is_one_of_the_examples_is_not_shown():
    scorer = StyleScorer()
    fits(REPLIES, scorer, letters=[*LETTERS, *REPLIES.examples])
    own = {(row.input, row.output) for row in REPLIES.examples}
    beside_own = [shown for shown in scorer.shown if not set(shown) <= own]
    assert beside_own
    assert all(own.isdisjoint(shown) for shown in beside_own)


MOODS = Requirement(
    "Label each film review. Answer with one of: good, bad, mixed.",
    examples=(Example("lovely film", "good"), Example("dull film", "bad")),
)


def moods(*labels, right=True):
    words = {"good": "lovely", "bad": "dull", "mixed": "strange"}
    turned = {"good": "dull", "bad": "lovely", "mixed": "strange"}
    return [
        Example(f"{(words if right else turned)[label]} story {i}", label)
        for i in range(10)
        for label in labels
    ]


def test_labels_serve_where_rows_near_an_example_have_its_label():
    found = fits(
        MOODS, right=moods("good", "bad", "mixed"), wrong=moods("good", "bad", right=False)
    )
    assert (found["right"].verdict, found["right"].covered) == ("serves", 1.0)
    assert found["wrong"].verdict == "related"
    assert "few have their labels" in found["wrong"].reason


def test_a_source_with_one_of_three_labels_does_not_serve():
    queues = [Example(f"dull queue {i}", ("bad", "slow", "lost")[i % 3]) for i in range(30)]
    fit = fits(MOODS, queues=queues)["queues"]
    assert (fit.verdict, fit.reason) == ("related", "it has 33% of your labels")


def test_json_of_other_keys_does_not_serve():
    wanted = Requirement(
        "Extract vendor and total as JSON.",
        examples=(
            Example("Acme 12", '{"vendor": "Acme", "total": 12}'),
            Example("Bolt 7", '{"vendor": "Bolt", "total": 7}'),
        ),
    )
    other = [Example(f"in {i}", f'{{"place": "{i}"}}') for i in range(9)]
    fit = fits(wanted, StyleScorer(), names=other)["names"]
    assert (fit.verdict, fit.reason) == ("related", "it has 0% of your JSON keys")


def test_samples_are_the_rows_nearest_to_the_examples():
    far = [Example(f"weather {i}", f"Dear reader, rain {i}.") for i in range(20)]
    fit = fits(REPLIES, StyleScorer(), letters=[*far, *LETTERS])["letters"]
    assert {row.input for row in fit.samples} <= {row.input for row in LETTERS}


@pytest.mark.parametrize(
    ("answers", "are"),
    [
        (["yes", "no"] * 5, True),
        ([f"card_{i}" for i in range(6)] + ["card_1"], True),
        ([f"word{i}" for i in range(10)], False),
        (["It rained all day.", "The sun was out."] * 5, False),
        ([], False),
    ],
)
def test_labels_are_short_and_come_again(answers, are):
    assert are_labels(answers) is are
