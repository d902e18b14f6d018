"""Actions of /v1/fine_tuning/jobs: create a job, cancel it, pause it, resume it; and the file of
its curves.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath

from django.db import transaction

from accounts.audit import record
from accounts.models import Organization, User
from distillation.imports.services import name_from_file
from models_app.models import CustomModel, FoundationModel
from modelstation.core.errors import Conflict, TooMany, UserFacingError
from modelstation.core.models import Job
from training.builds.services import create_model_of_file
from training.finetuning.builds import Build, measured
from training.finetuning.files import write_results
from training.finetuning.freezing import MIN_FILE_ROWS, requested_config, too_few
from training.finetuning.ids import file_name_of
from training.models import FineTuningRequest, TrainingRun, UploadedFile
from training.plan import services as planning
from training.recipes.config import Settings
from training.runs.services import ACTIONS, Action

Hyperparameters = dict[str, float | str]  # of OpenAI's names, each "auto" or a number
logger = logging.getLogger("modelstation.training")
MOST_WAITING = 20  # jobs of one organisation that have not ended
# Our measurements by the columns of the file; what was not measured at a step stays empty.
RESULT_COLUMNS = {
    "train_loss": "loss",
    "train_accuracy": "train_accuracy",
    "valid_loss": "valid_loss",
    "valid_mean_token_accuracy": "valid_accuracy",
}


@dataclass(frozen=True)
class JobRequest:
    """What is requested of a job, its fields checked one by one by the API."""

    base: FoundationModel
    training_file: UploadedFile
    validation_file: UploadedFile | None = None
    suffix: str = ""
    seed: int = 0
    hyperparameters: Hyperparameters = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_bad(self.training_file, "training_file")
        if self.validation_file is not None:
            refuse_bad(self.validation_file, "validation_file")
            if self.validation_file.sha256 == self.training_file.sha256:
                message, param = "The validation file is the training file.", "validation_file"
                hint = "Leave it out: a part of the training file is held out then."
                raise UserFacingError(message, code="invalid_value", param=param, hint=hint)
        if self.training_file.row_count < MIN_FILE_ROWS:
            raise too_few(self.training_file.row_count)


def refuse_bad(file: UploadedFile, param: str) -> None:
    name, code = file_name_of(file.id), "invalid_value"
    if file._state.adding:  # frozen rows keep their sources and licences; a copy would lose them
        message = "These are the frozen rows of a model's dataset."
        hint = "Train that model again, or upload rows of your own."
    elif file.purpose != UploadedFile.Purpose.FINE_TUNE:
        message = f"{name} has the purpose “{file.purpose}”."
        hint = "Give a file that was uploaded for “fine-tune”."
    elif file.status == UploadedFile.Status.ERROR:
        message, code = f"{name} cannot be trained on: {file.status_details}", "invalid_file"
        hint = "Correct the rows and upload the file again."
    else:
        return
    raise UserFacingError(message, code=code, param=param, hint=hint)


def create_job(*, actor: User, org: Organization, requested: JobRequest) -> Job:
    """Create a model, and the job that freezes its rows; training and evaluation follow."""
    _refuse_too_many(org)
    name = requested.suffix or name_from_file(PurePath(requested.training_file.filename).name)
    with transaction.atomic():
        model, job = create_model_of_file(
            actor=actor,
            org=org,
            base=requested.base,
            name=name,
            rows=requested.training_file.row_count,
            requirement=f"Answer as the rows of the uploaded file {requested.training_file} do.",
            intent_edits={"task_kind": requested.training_file.task_kind},
        )
        request = FineTuningRequest.objects.create(
            org=org,
            job=job,
            model=model,
            training_file=requested.training_file.id,
            validation_file=requested.validation_file.id if requested.validation_file else None,
            suffix=requested.suffix,
            seed=requested.seed,
            hyperparameters=requested.hyperparameters,
            metadata=requested.metadata,
        )
        _check_plan(model, requested_config(request))
        file = file_name_of(requested.training_file.id)
        record(org=org, actor=actor, action="fine_tuning.create", target=model, file=file)
    return job


def _refuse_too_many(org: Organization) -> None:
    requests = FineTuningRequest.objects.for_org(org)
    if requests.filter(model__status__in=CustomModel.LIVE_STATUSES).count() >= MOST_WAITING:
        message = f"{MOST_WAITING} fine-tuning jobs of this organisation have not ended yet."
        hint = "Wait until one has, or cancel one."
        raise TooMany(message, code="rate_limit_exceeded", hint=hint)


def _check_plan(model: CustomModel, config: Settings) -> None:
    """Refuse what will not fit into the memory or on the disk; rows are guessed here."""
    model.training_config = config
    model.save(update_fields=["training_config"])
    try:
        planning.check_before_building(model)
    except UserFacingError as error:
        error.param = "model"
        raise


def act(action: Action, *, actor: User, build: Build) -> None:
    """Cancel it; or pause it at the next step's end, with a checkpoint, or resume it from there."""
    act_on_job, _, code = ACTIONS[action]
    with transaction.atomic():
        job = build.live_job
        if job is None or not act_on_job(job):
            raise Conflict(
                f"You cannot {action} this job: its status is {build.status}.", code=code
            )
        record(org=build.root.org, actor=actor, action=f"fine_tuning.{action}", target=build.model)


# --- the file of the curves -----------------------------------------------------------------------


def keep_results(run: TrainingRun) -> None:
    """Write the curves, in the transaction that ends the training; a failure must not undo it."""
    try:
        write_results(run=run, lines=_result_lines(run))
    except OSError:
        logger.exception("no curves were written for run %s", run.id)


def _result_lines(run: TrainingRun) -> Iterator[str]:
    yield ",".join(["step", *RESULT_COLUMNS]) + "\n"
    for step, figures in sorted(measured(run).items()):
        cells = [figures.get(name) for name in RESULT_COLUMNS.values()]
        yield ",".join([str(step), *("" if x is None else f"{x:.6g}" for x in cells)]) + "\n"
