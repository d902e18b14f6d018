"""What is in doubt is asked about, with choices that are corrections; what is clear is not."""

from distillation.pipeline.types import Example, Requirement
from distillation.pipeline.understand.intent import edits_from, understand

CLEAR = Requirement(
    "Our shop gets about 400 mails a day and we sort them by hand.",
    "Classify each e-mail into one of four categories.",
    "Answer with exactly one of these labels: order, return, complaint, other.",
    (
        Example("Where is my parcel?", "order"),
        Example("I want to send it back", "return"),
        Example("This is a disgrace", "complaint"),
    ),
)


def with_examples(requirement, *pairs):
    return Requirement(
        requirement.text,
        requirement.objective,
        requirement.policy,
        tuple(Example(*pair) for pair in pairs),
    )


def question_about(intent, field):
    return next((q for q in intent.questions if q.field == field), None)


def test_a_clear_requirement_is_not_asked_about():
    assert understand(CLEAR).questions == ()


def test_answers_of_examples_outside_the_labels_are_named_and_asked_about():
    intent = understand(
        with_examples(
            CLEAR, ("Where is it?", "order"), ("Send it back", "return"), ("Hi", "Praise")
        )
    )
    assert intent.labels == ("order", "return", "complaint", "other")
    assert intent.examples_outside == ("Praise",)
    question = question_about(intent, "labels")
    assert "“Praise”" in question.sentence
    kept, added = question.choices[:2]
    assert kept.intent_edits["labels"] == ["order", "return", "complaint", "other"]
    assert added.intent_edits["labels"] == ["order", "return", "complaint", "other", "Praise"]


def test_a_choice_is_a_correction_that_ends_the_question():
    unclear = with_examples(CLEAR, ("Where is it?", "order"), ("Hi", "return"), ("x", "Praise"))
    choice = question_about(understand(unclear), "labels").choices[1]
    answered = understand(unclear, edits_from(choice.intent_edits))
    assert answered.labels == tuple(choice.intent_edits["labels"])
    assert question_about(answered, "labels") is None
    assert answered.examples_outside == ()


def test_what_could_be_of_several_kinds_is_asked_about():
    intent = understand(Requirement("Our support gets 400 mails a day and we need help."))
    question = question_about(intent, "task_kind")
    assert question.choices[0].intent_edits == {"task_kind": intent.task_kind}
    assert len({choice.intent_edits["task_kind"] for choice in question.choices}) > 1


def test_a_kind_that_a_person_set_is_not_asked_about():
    text = Requirement("Our support gets 400 mails a day and we need help.")
    assert (
        question_about(understand(text, edits_from({"task_kind": "generate"})), "task_kind") is None
    )
