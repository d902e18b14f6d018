"""What a user requests when creating a model: validated here once, for form, API and terminal."""

from dataclasses import dataclass, field
from typing import Any

from distillation.pipeline.understand.intent import edits_from
from models_app.models import DEFAULT_ROWS, MAX_ROWS, MIN_ROWS, CustomModel
from modelstation.core.errors import UserFacingError
from training.recipes.config import config_from
from training.scoring.metrics import MetricError, model_metric

MAX_EXAMPLES = 50
MAX_TEST_ROWS = 5000
MOST_PAIRS = {"examples": MAX_EXAMPLES, "test_rows": MAX_TEST_ROWS}
MIN_REQUIREMENT_CHARS, MAX_REQUIREMENT_CHARS = 20, 20_000
DEFAULT_BASE = "smollm2-135m-instruct"


@dataclass(frozen=True)
class ModelDraft:
    name: str
    requirement: str
    objective: str = ""
    policy: str = ""
    examples: list[dict[str, str]] = field(default_factory=list)
    test_rows: list[dict[str, str]] = field(default_factory=list)
    success_criteria: list[str] = field(default_factory=list)
    metric: str = ""
    system_prompt: str = ""
    base: str = ""  # empty: the recommended one of those that are installed
    rows: int = DEFAULT_ROWS
    student: str = "auto"
    training_config: dict[str, Any] = field(default_factory=dict)
    curation: str = "auto"
    intent_edits: dict[str, Any] = field(default_factory=dict)
    search_corpus: bool = True  # False: rows come from sources chosen for the model alone
    doubtful_rows: str = CustomModel.DoubtfulRows.LEAVE_OUT
    max_size_mb: int | None = None  # of the served model; the base must keep to it

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise UserFacingError("Give the model a name.", param="name")
        if len(self.requirement.strip()) < MIN_REQUIREMENT_CHARS:
            hint = "Say who uses the model, what goes in, and what must come out."
            short = "The requirement is too short to work from."
            raise UserFacingError(short, param="requirement", hint=hint)
        if len(self.requirement) > MAX_REQUIREMENT_CHARS:
            hint = "Most of it stands in the system prompt of every row: say it in less."
            most = f"A requirement has at most {MAX_REQUIREMENT_CHARS:,} characters."
            raise UserFacingError(most, param="requirement", hint=hint)
        check_metric(self.metric)
        if not MIN_ROWS <= self.rows <= MAX_ROWS:
            message = f"Rows must be between {MIN_ROWS} and {MAX_ROWS:,}."
            raise UserFacingError(message, param="rows")
        if self.max_size_mb is not None and self.max_size_mb < 1:
            raise UserFacingError("The size must be at least 1 MB.", param="max_size_mb")
        check_curation(self.curation)
        check_student(self.student)
        check_doubtful_rows(self.doubtful_rows)
        check_pairs(self.examples, "examples")
        check_pairs(self.test_rows, "test_rows")
        try:
            config_from(self.training_config)
        except ValueError as error:
            raise UserFacingError(str(error), param="training_config") from error
        check_intent_edits(self.intent_edits)

    def fields(self) -> dict[str, Any]:
        """Return the column values of CustomModel, except those that need a look-up."""
        looked_up = ("name", "base", "max_size_mb")
        return {name: value for name, value in vars(self).items() if name not in looked_up}


def check_metric(metric: str) -> None:
    try:
        if metric:
            model_metric(metric)
    except MetricError as error:
        raise UserFacingError(str(error), param="metric") from error


def check_curation(curation: str) -> None:
    known = CustomModel.Curation.values
    if curation not in known:
        hint = f"{' or '.join(known)}."
        raise UserFacingError(f"Unknown curation “{curation}”.", param="curation", hint=hint)


def check_student(student: str) -> None:
    known = CustomModel.Student.values
    if student not in known:
        hint = f"{', '.join(known[:-1])} or {known[-1]}."
        raise UserFacingError(f"Unknown student “{student}”.", param="student", hint=hint)


def check_doubtful_rows(do: str) -> None:
    known = CustomModel.DoubtfulRows.values
    if do not in known:
        message, hint = f"Unknown way with doubtful rows: “{do}”.", f"{' or '.join(known)}."
        raise UserFacingError(message, param="doubtful_rows", hint=hint)


def check_intent_edits(intent_edits: dict[str, Any], *, is_stored: bool = False) -> None:
    try:
        edits_from(intent_edits, is_stored=is_stored)
    except ValueError as error:
        raise UserFacingError(f"{error}.", param="intent_edits") from error


def check_pairs(pairs: list[dict[str, str]], param: str) -> None:
    most = MOST_PAIRS[param]
    if len(pairs) > most:
        message = f"At most {most} {param.replace('_', ' ')}, not {len(pairs)}."
        raise UserFacingError(message, param=param)
    for number, pair in enumerate(pairs, 1):
        for key in ("input", "output"):
            value = pair.get(key) if isinstance(pair, dict) else None
            if not isinstance(value, str) or not value.strip():
                place = f"{param}.{number - 1}.{key}"
                raise UserFacingError(f"Example {number} has no {key}.", param=place)
