"""What is understood of a requirement, for pages, API and terminal. Torch-free."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from distillation.pipeline.types import Example, IntentEdits, IntentSpec, Question, Requirement
from distillation.pipeline.understand.intent import edits_from, understand
from models_app.drafts import ModelDraft
from models_app.models import CustomModel
from modelstation.core.errors import Conflict

# What a person may correct one by one; the mapping of labels has a page of its own.
FIELDS = (
    "task_kind", "labels", "label_descriptions", "json_schema", "answer_min_chars",
    "answer_max_chars", "language",
)  # fmt: skip


def requirement_of(draft: CustomModel | ModelDraft) -> Requirement:
    return Requirement(
        text=draft.requirement,
        objective=draft.objective,
        policy=draft.policy,
        examples=tuple(Example(e["input"], e["output"]) for e in draft.examples),
        system_prompt=draft.system_prompt,
    )


def understood(draft: CustomModel | ModelDraft) -> IntentSpec:
    """With the corrections that were made so far."""
    return understand(requirement_of(draft), edits_from(draft.intent_edits, is_stored=True))


def as_shown(intent: IntentSpec) -> dict[str, Any]:
    """Return the values of the fields that a person may correct. Labels only where they are all
    known: others are learned from the sources, unless the person lists them.
    """
    shown = {name: getattr(intent, name) for name in FIELDS}
    return shown | {"labels": list(intent.labels) if intent.labels_closed else []}


class NeedsConfirmation(Conflict):
    """A build would begin from something that is in doubt: `questions` say what."""

    def __init__(self, questions: Sequence[Question]) -> None:
        first = questions[0]
        super().__init__(
            f"Not sure that this is understood: {first.sentence}",
            code="needs_confirmation",
            param="intent_edits",
            hint="Send the intent_edits of the right choice of each question, or “confirm”: true.",
        )
        self.questions = tuple(questions)
        self.details = {"questions": [asdict(question) for question in questions]}


def check_confirmed(draft: ModelDraft) -> None:
    """Raise NeedsConfirmation where the understanding asks about what no correction answers."""
    if questions := understood(draft).questions:
        raise NeedsConfirmation(questions)


def corrections(requirement: Requirement, kind: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Only what differs from what is understood without any correction. `kind` is the one under
    which the person saw the other fields; an empty value is as understood, a language apart.
    """
    if not wanted.get("labels"):
        wanted = {name: value for name, value in wanted.items() if name != "label_descriptions"}
    plain = as_shown(understand(requirement, IntentEdits(task_kind=kind)))
    plain["task_kind"] = understand(requirement).task_kind
    return {
        name: wanted[name]
        for name in FIELDS
        if name in wanted
        and wanted[name] != plain[name]
        and (name == "language" or wanted[name] not in (None, []))
    }
