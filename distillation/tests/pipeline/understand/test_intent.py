import pytest

from distillation.pipeline.types import Example, IntentEdits, Requirement
from distillation.pipeline.understand.intent import understand
from distillation.pipeline.understand.labels import label_key, learn_labels
from distillation.pipeline.understand.reading import task_kind


def wanted(text="We want a small model.", outputs=(), **fields):
    examples = tuple(Example(f"input {i}", output) for i, output in enumerate(outputs))
    return Requirement(text, examples=examples, **fields)


@pytest.mark.parametrize(
    ("requirement", "kind"),
    [
        (wanted("Label each ticket.", ["card_arrival", "lost_card"]), "classify"),
        (wanted(outputs=["spam", "ham", "spam", "ham"]), "classify"),
        (wanted(outputs=['{"city": "Rome"}', "{}"]), "extract_json"),
        (wanted(outputs=["SELECT a FROM t", "select b from t"]), "sql"),
        (wanted(outputs=["2 + 2 = 4\n#### 4", "It is 1.\n#### 1"]), "number"),
        (wanted("How warm does it get, in degrees?", ["12.5", "-3"]), "number"),
        (wanted(outputs=["wdiff a b", "rnm -fo -ss pattern -rs other path/to/files"]), "generate"),
        (wanted("Route messages", ["A long answer that is a sentence, not a label."]), "generate"),
    ],
)
def test_the_kind_of_task_is_learned_from_example_answers(requirement, kind):
    assert task_kind(requirement) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Each message must be routed to one of our support topics.", "classify"),
        ("Tell whether its tone is negative, neutral or positive.", "classify"),
        ("The answer is a JSON object from type to names.", "extract_json"),
        ("Return one SQLite SELECT over that table.", "sql"),
        ("Show each step, then the final number after ####.", "number"),
        ("Rewrite the sentence politely.", "generate"),
    ],
)
def test_without_examples_the_words_of_the_requirement_tell(text, kind):
    assert task_kind(wanted(text)) == kind


def test_labels_are_closed_when_the_policy_lists_all_of_them():
    intent = understand(wanted(outputs=["yes", "no"], policy="One of: yes, no, maybe."))
    assert (intent.labels, intent.labels_closed) == (("yes", "no", "maybe"), True)


def test_labels_stay_open_when_examples_only_name_some():
    intent = understand(wanted("Label it with an intent, such as a or b.", ["a", "b"]))
    assert (intent.labels, intent.labels_closed) == (("a", "b"), False)


def test_where_an_example_is_outside_the_list_it_is_asked_which_is_right():
    policy = "Answer with exactly one of these labels: yes, no, maybe."
    intent = understand(wanted("Does the review praise?", ["yes", "no", "unsure"], policy=policy))
    [question] = [asked for asked in intent.questions if asked.field == "labels"]
    offered = [choice.intent_edits.get("labels") for choice in question.choices]
    assert ["yes", "no", "maybe"] in offered


def test_an_example_outside_the_labels_that_a_person_set_is_named():
    edits = IntentEdits(labels=("yes", "no", "maybe"))
    intent = understand(wanted("Does the review praise?", ["yes", "no", "unsure"]), edits)
    assert (intent.labels, intent.labels_closed) == (("yes", "no", "maybe"), True)
    assert intent.examples_outside == ("unsure",)


def test_a_label_is_spelled_as_the_examples_spell_it():
    policy = "Answer with exactly one of these labels: Yes, No, Maybe."
    intent = understand(wanted("Does the review praise?", ["yes", "no"], policy=policy))
    assert intent.labels == ("yes", "no", "Maybe")


def test_labels_with_explanations_keep_them_and_rows_are_looked_for_by_them():
    text = (
        "Sort the mails of our shop into these categories:\n"
        "- order: asks where a parcel is\n- return: wants to send something back\n- other\n"
    )
    intent = understand(wanted(text))
    assert intent.labels == ("order", "return", "other")
    assert intent.label_descriptions["order"] == "asks where a parcel is"
    assert "order: asks where a parcel is" in [query.text for query in intent.queries]


def test_labels_may_be_named_in_passing():
    tone = understand(wanted("Classify tweets. The tone is negative, neutral or positive."))
    assert tone.labels == ("negative", "neutral", "positive")


def test_json_keys_are_those_of_the_examples():
    intent = understand(wanted(outputs=['{"b": 1, "a": 2}', '{"c": 3}', "{}"]))
    assert intent.json_keys == ("a", "b", "c")


def test_the_answer_band_is_wide_around_the_examples():
    intent = understand(wanted(outputs=["x" * 40 + ".", "y" * 200 + "."]))
    assert (intent.answer_min_chars, intent.answer_max_chars) == (10, 804)


def test_queries_are_the_requirement_each_input_and_each_pair():
    intent = understand(Requirement("Sort mail", examples=(Example("hi", "greeting"),)))
    assert [query.text for query in intent.queries] == ["Sort mail", "hi", "hi\ngreeting"]


def test_learned_labels_are_those_that_come_again_in_one_spelling():
    answers = ["Card Arrival", "card_arrival", "lost card", "lost card", "once", "A sentence."]
    assert learn_labels(answers) == ("Card Arrival", "lost card")
    assert label_key("Card-Arrival ") == "card_arrival"


def test_identifiers_given_as_a_sample_hint_at_the_labels():
    text = "Route each message to one of our 77 topics, such as card_arrival or exchange_rate."
    spec = understand(Requirement(text))
    assert (spec.labels, spec.label_hints) == ((), ("card_arrival", "exchange_rate"))
    plain = understand(Requirement("Route each message to a topic, such as cards or rates."))
    assert plain.label_hints == ()
