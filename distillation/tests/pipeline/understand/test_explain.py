import pytest

from distillation.pipeline.types import Example, IntentEdits, IntentSpec, Requirement
from distillation.pipeline.understand.explain import explain
from distillation.pipeline.understand.intent import understand

NAMES = {"type": "array"}


def stated(**fields):
    intent = IntentSpec(**{"system_prompt": "", "queries": (), "task_texts": ()} | fields)
    return dict(explain(intent))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"labels": ("a", "b"), "labels_closed": True},
            "It labels each input with one of 2 labels: a, b.",
        ),
        (
            {"labels": ("a",), "label_count": 77},
            "It labels each input with one of 77 labels; 1 is known from your examples (a), the"
            " others are learned from the sources.",
        ),
        (
            {},
            "It labels each input with one label. None is known yet: they are learned from the"
            " sources.",
        ),
        (
            {"labels": tuple("abcdefghij"), "labels_closed": True},
            "It labels each input with one of 10 labels: a, b, c, d, e, f, g, h and 2 more.",
        ),
    ],
)
def test_labels_are_told(fields, sentence):
    assert stated(task_kind="classify", **fields)["Task"] == sentence


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ({"properties": {"a": {}, "b": {}}}, "Its keys are a, b."),
        (
            {"properties": {"a": {}, "b": {}}, "required": ["a"], "additionalProperties": False},
            "Its keys are a, b; a must be there; other keys are refused.",
        ),
        (
            {"properties": {"a": {}}, "required": ["a"]},
            "Its keys are a; all of them must be there.",
        ),
        ({"patternProperties": {"^creative[-_ ]?works?$": {}}}, "Its keys are creative work."),
        (None, "No keys are known yet: they are learned from the sources."),
    ],
)
def test_keys_are_told(schema, sentence):
    assert stated(task_kind="extract_json", json_schema=schema)["Keys"] == sentence


def test_the_rest_is_told():
    lines = stated(task_kind="generate", answer_min_chars=3, answer_max_chars=2400, language="en")
    assert lines["Length"] == "Answers have between 3 and 2,400 characters."
    assert lines["Language"] == "Inputs are in English."
    assert "examples would help" in lines["Search"]
    assert stated(task_kind="sql")["Language"] == "Inputs may be in any language."


def test_a_correction_is_told_like_what_was_understood():
    requirement = Requirement("Label each mail.", examples=(Example("Where is my parcel?", "a"),))
    edits = IntentEdits(labels=("x", "y"), language="de")
    lines = dict(explain(understand(requirement, edits)))
    assert lines["Task"].endswith("one of 2 labels: x, y.")
    assert lines["Language"] == "Inputs are in German."
    assert lines["Search"].endswith("your requirement and your example.")
