"""Which kind of student a build trains, and why: shown in the plan, kept with the run."""

from dataclasses import dataclass

from distillation.models import DatasetVersion
from models_app.models import CustomModel
from models_app.understanding import understood
from training.encoder.labels import objection_to_labels

Kind = CustomModel.Student


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
    reason = "Every answer is one of a set of labels: an encoder tells them apart after seconds."
    return Student(Kind.ENCODER, reason)


def _objection_to_labels(dataset: DatasetVersion) -> str:
    rows = dataset.rows.kept().filter(split="train")
    return objection_to_labels(
        [str(turns[-1]["content"]) for turns in rows.values_list("messages", flat=True)]
    )
