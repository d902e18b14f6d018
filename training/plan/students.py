"""Which kind of student a build trains, and why: shown in the plan, kept with the run."""

from dataclasses import dataclass

from distillation.models import DatasetVersion
from models_app.models import CustomModel
from models_app.understanding import understood

Kind = CustomModel.Student
MOST_LABEL_CHARS = 120
LEAST_ROWS_PER_LABEL = 2  # on average: answers that are nearly all different are no labels


@dataclass(frozen=True)
class Student:
    kind: CustomModel.Student
    reason: str

    @property
    def is_encoder(self) -> bool:
        return self.kind == Kind.ENCODER


def student_of(model: CustomModel, dataset: DatasetVersion | None = None) -> Student:
    """Return what was chosen; else an encoder for labels and a generator for everything else. With
    a dataset its own answers decide, before it the requirement.
    """
    if model.student != Kind.AUTO:
        kind = CustomModel.Student(model.student)
        return Student(kind, f"{kind.label} was chosen.")
    task_kind = dataset.run.intent_facts.task_kind if dataset else understood(model).task_kind
    if task_kind != "classify":
        reason = "The answers are written, not chosen among labels: that needs a generator."
        return Student(Kind.GENERATOR, reason)
    if dataset is not None and (objection := _objection_to_labels(dataset)):
        return Student(Kind.GENERATOR, objection)
    reason = (
        "Every answer is one of a set of labels: an encoder learns to tell them apart in seconds, "
        "and with few rows better than a small generator does."
    )
    return Student(Kind.ENCODER, reason)


def _objection_to_labels(dataset: DatasetVersion) -> str:
    """Say why the answers of the training rows are no set of labels; empty where they are."""
    rows = dataset.rows.kept().filter(split="train")
    answers = [str(turns[-1]["content"]) for turns in rows.values_list("messages", flat=True)]
    labels = set(answers)
    if len(labels) * LEAST_ROWS_PER_LABEL > len(answers):
        return f"{len(answers):,} rows have {len(labels):,} different answers: too many for labels."
    if max(map(len, labels), default=0) > MOST_LABEL_CHARS:
        return "Some answers are longer than labels are."
    return "" if len(labels) > 1 else "All rows have one answer: there is nothing to tell apart."
