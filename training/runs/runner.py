"""The bridge between rows and the Django-free work of training and evaluation, which runs in a
child process.

Each function reads rows, writes a spec, supervises the child, and returns the closure that
publishes its result. Files are written under the job's attempt, so that a worker that lost its
lease never overwrites the winner."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.db import transaction

from distillation.datasets.coverage import coverage_of, doubtful_held_out
from distillation.models import DatasetVersion
from distillation.pipeline.understand.system_prompt import names_of, with_all_named
from models_app import services as model_services
from models_app.contract.services import contract_of
from models_app.gateway.paths import base_paths, engine_paths
from models_app.models import CustomModel, ModelVersion
from modelstation.core.errors import Conflict
from modelstation.core.jobs.interrupts import Cancelled
from modelstation.core.jobs.jobs import Publish
from modelstation.core.jobs.lease import Lease
from modelstation.core.jobs.supervisor import run_child
from modelstation.core.models import Job, JobEvent
from training.builds.ends import finish_evaluation
from training.encoder.spec import EncoderSpec, Trained
from training.evaluations import services as evaluations
from training.evaluations.spec import EvaluationSpec, Side
from training.finetuning import jobs as fine_tuning_jobs
from training.models import EvaluationRun, TrainingRun
from training.plan import services as planning
from training.plan.students import Student, student_of
from training.progress import Checkpoint, Log, message_from
from training.recipes.config import TrainingConfig
from training.recipes.rows import read_conversations
from training.runs import services
from training.runs.spec import TrainingResult, TrainingSpec
from training.scoring.metrics import unreadable
from training.scoring.shapes import EvaluationResult

STAGE_NAMES = {
    "load": "Loading the base model",
    "embed": "Reading the rows with the encoder",
    "fit": "Learning to tell the labels apart",
    "train": "Training",
    "merge": "Merging the adapter into the base",
    "export": "Writing the artifacts",
    "checkpoints": "Writing the checkpoints as models",
    "generate_base": "The base model answers the held-out rows",
    "rivals": "Something simpler learns from the same rows",
    "generate_tuned": "The tuned model answers the held-out rows",
    "generate_live": "The version that is live answers the held-out rows",
    "probe_base": "The base model answers general questions",
    "probe_tuned": "The tuned model answers general questions",
}


NAMES_SHARE = 0.4  # of the base's context: room is left for the row and its answer


def train(job: Job, lease: Lease) -> Publish:
    model_services.begin_stage(job.subject_id, CustomModel.Status.TRAINING)
    model = CustomModel.objects.select_related("base").get(id=job.subject_id)
    dataset = _newest_dataset(model)
    made = {"org": model.org, "model": model, "dataset_version": dataset}
    made["asked_config"] = model.training_config
    _refuse_unmeasurable(model, dataset)
    run, _ = TrainingRun.objects.get_or_create(job=job, defaults=made)
    folder = f"{model.id}/versions/{job.id}-{job.attempt}"
    student = student_of(model, dataset)
    if student.is_encoder:
        return _train_encoder(job, lease, run, folder, student)
    kept = settings.ARTIFACTS_DIR / str(model.id) / "checkpoints"
    spec = TrainingSpec(
        dataset=settings.ARTIFACTS_DIR / dataset.folder,
        base_folder=settings.MODELS_DIR / model.base_id,
        base_name=model.base_id,
        out_dir=settings.ARTIFACTS_DIR / folder,
        config=replace(planning.config_of_attempt(run), **job.overrides),
        checkpoints_dir=kept,
        keep_checkpoints=model.fine_tuning_requests.exists(),
    )
    try:
        result = run_child(
            "training.runs.child",
            _write_spec(job, spec.to_json()),
            lease=lease,
            on_event=reporter(lease),
            can_pause=True,
            when_gpu_oom=_half_the_batch(spec.config),
        )
    except Cancelled:
        shutil.rmtree(kept, ignore_errors=True)
        raise
    return lambda: _publish_training(run, folder, TrainingResult.from_json(result), kept)


def _refuse_unmeasurable(model: CustomModel, dataset: DatasetVersion) -> None:
    """Refuse a training that the metric somebody chose could not show to be any good."""
    if not model.metric:
        return
    answers = [row["output"] for row in model.test_rows]
    if not answers:
        conversations = read_conversations(settings.ARTIFACTS_DIR / dataset.folder / "test.jsonl")
        answers = [messages[-1]["content"] for messages in conversations]
    if why := unreadable(model.metric, answers):
        hint = "Make a copy of the model with another metric, or with test rows that it can read."
        raise Conflict(f"Nothing could be measured: {why}", code="unmeasurable", hint=hint)


def _train_encoder(
    job: Job, lease: Lease, run: TrainingRun, folder: str, student: Student
) -> Publish:
    run.plan = {"reasons": {"student": student.reason}}
    run.save(update_fields=["plan"])
    lease.log(student.reason)
    spec = EncoderSpec(
        dataset=settings.ARTIFACTS_DIR / run.dataset_version.folder,
        out_dir=settings.ARTIFACTS_DIR / folder,
    )
    path = _write_spec(job, spec.to_json())
    reported = run_child("training.encoder.child", path, lease=lease, on_event=reporter(lease))
    result = Trained.from_json(reported)
    return lambda: services.finish_training(run=run, folder=folder, result=result)


def _half_the_batch(config: TrainingConfig) -> dict[str, int] | None:
    """Return settings that take the same step in twice as many turns; checkpoints stay good."""
    whole = config.micro_batch_tokens or config.tokens_per_batch
    return {"micro_batch_tokens": max(config.max_seq_len, whole // 2)} if whole else None


def _publish_training(run: TrainingRun, folder: str, result: TrainingResult, kept: Path) -> None:
    """Publish the result, remove its checkpoints; those of a failed run wait to be used again."""
    made = Trained(result.artifacts, result.config.to_json(), result.facts.to_json())
    services.finish_training(run=run, folder=folder, result=made)
    fine_tuning_jobs.keep_results(run)
    transaction.on_commit(lambda: shutil.rmtree(kept, ignore_errors=True))


def evaluate(job: Job, lease: Lease) -> Publish:
    model_services.begin_stage(job.subject_id, CustomModel.Status.EVALUATING)
    run = evaluations.run_of(job)
    dataset = evaluations.dataset_of_version(run.version) or _newest_dataset(run.model)
    live = _note_what_is_judged_by(run)
    folder = f"{run.model_id}/evaluations/{job.id}-{job.attempt}"
    spec = _evaluation_spec(job, run, dataset, settings.ARTIFACTS_DIR / folder, live)
    result = run_child(
        "training.evaluations.child",
        _write_spec(job, spec.to_json()),
        lease=lease,
        on_event=reporter(lease),
    )
    return lambda: finish_evaluation(run=run, folder=folder, result=cast(EvaluationResult, result))


def _note_what_is_judged_by(run: EvaluationRun) -> ModelVersion | None:
    """Note the contract, which is frozen by now, and return what is live meanwhile."""
    live: ModelVersion | None = run.model.live_version
    if live is not None and (live.id == run.version_id or not engine_paths(live)[0].is_file()):
        live = None
    run.live = {"version": str(live.id), "number": live.number} if live else {}
    run.metric, run.contract_digest = run.model.contract["metric"], run.model.contract_digest
    run.save(update_fields=["live", "metric", "contract_digest"])
    return live


def _newest_dataset(model: CustomModel) -> DatasetVersion:
    """Return the one that was frozen last; a draft is never trained on."""
    dataset: DatasetVersion | None = model.dataset_versions.frozen().select_related("run").first()
    if dataset is None:
        hint = "Freeze its draft, or build it again."
        raise Conflict("This model has no frozen dataset yet.", code="no_dataset", hint=hint)
    return dataset


def _evaluation_spec(
    job: Job, run: EvaluationRun, dataset: DatasetVersion, out_dir: Path, live: ModelVersion | None
) -> EvaluationSpec:
    version = run.version
    test_file = settings.ARTIFACTS_DIR / dataset.folder / "test.jsonl"
    return EvaluationSpec(
        test_file=write_test_rows(run.model, _work_folder(job))
        if run.model.test_rows
        else test_file,
        base=Side(*base_paths(version.base), _prompt_of_base(version, dataset)),
        tuned=Side(*engine_paths(version)),
        system_prompt=version.system_prompt,
        metric=run.metric,
        out_dir=out_dir,
        contract=contract_of(run.model).compiled_checks(),
        labels=list(dataset.run.intent_facts.labels) or None,
        live=Side(*engine_paths(live), live.system_prompt, f"version {live.number}")
        if live
        else None,
        probes=settings.EVALUATION_PROBES,
        cache_dir=settings.ARTIFACTS_DIR / str(run.model_id) / "answers",
        train_file=_rows_trained_on(version),
        coverage=coverage_of(dataset),
        doubtful_rows=doubtful_held_out(dataset),
    )


def _prompt_of_base(version: ModelVersion, dataset: DatasetVersion) -> str | None:
    """Tell the base, which was trained on no row, all labels or keys; None: it is told already, or
    each row brings a prompt of its own.
    """
    if not version.system_prompt:
        return None
    facts = dataset.run.intent_facts
    train = dataset.rows.kept().filter(split="train").spoken()
    labels, keys = names_of(facts, list(train.values_list("said_answer", flat=True)))
    tokens = int(version.base.context * NAMES_SHARE)
    prompt = with_all_named(version.system_prompt, labels, keys, tokens=tokens)
    return None if prompt == version.system_prompt else prompt


def _rows_trained_on(version: ModelVersion) -> Path | None:
    """None where they are gone: those of another dataset would teach a rival something else."""
    dataset = evaluations.dataset_of_version(version)
    return settings.ARTIFACTS_DIR / dataset.folder / "train.jsonl" if dataset else None


def write_test_rows(model: CustomModel, folder: Path) -> Path:
    path = folder / "test.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for row in model.test_rows:
            messages = [
                {"role": "user", "content": row["input"]},
                {"role": "assistant", "content": row["output"]},
            ]
            stream.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
    return path


def _write_spec(job: Job, spec: Mapping[str, Any]) -> str:
    path = _work_folder(job) / "spec.json"
    path.write_text(json.dumps(spec, indent=2))
    return str(path)


def _work_folder(job: Job) -> Path:
    """Beside the model's artifacts, so that deleting the model deletes it too."""
    folder = Path(settings.ARTIFACTS_DIR) / str(job.subject_id) / "jobs" / f"{job.id}-{job.attempt}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def reporter(
    lease: Lease, stage_names: Mapping[str, str] = STAGE_NAMES
) -> Callable[[Mapping[str, Any]], None]:
    """Turn the child's messages into the job's stage, progress and story."""
    stage = ""

    def report(event: Mapping[str, Any]) -> None:
        nonlocal stage
        message = message_from(event)
        if isinstance(message, Log):
            lease.log(message.message)
            return
        if isinstance(message, Checkpoint):
            lease.check()
            text = f"Checkpoint kept at step {message.step:,}."
            lease.emit(JobEvent.Kind.CHECKPOINT, text, data={"step": message.step})
            return
        if message.stage != stage:
            stage = message.stage
            lease.stage(stage, stage_names.get(stage, stage))
        detail, figures = message.detail, message.figures
        lease.progress(step=message.step, total_steps=message.total_steps, **figures)
        if figures.get("loss") is not None or figures.get("valid_loss") is not None:
            lease.emit(JobEvent.Kind.METRICS, data=detail)

    return report
