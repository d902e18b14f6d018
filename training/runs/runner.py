"""The bridge between rows and the Django-free work of training and evaluation, which runs in a
child process.

Each function reads rows, writes a spec, supervises the child, and returns the closure that
publishes its result. Files are written under the job's attempt, so that a worker that lost its
lease never overwrites the winner."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from distillation.models import DatasetVersion
from models_app import services as model_services
from models_app.gateway.paths import base_paths, engine_paths
from models_app.models import CustomModel, ModelVersion
from modelstation.core.errors import Conflict
from modelstation.core.jobs.interrupts import Cancelled
from modelstation.core.jobs.jobs import Publish
from modelstation.core.jobs.lease import Lease
from modelstation.core.jobs.supervisor import run_child
from modelstation.core.models import Job, JobEvent
from training.builds.ends import finish_evaluation
from training.evaluations import services as evaluations
from training.finetuning import jobs as openai_jobs
from training.models import EvaluationRun, TrainingRun
from training.plan import services as planning
from training.runs import services

STAGE_NAMES = {
    "load": "Loading the base model",
    "train": "Training",
    "merge": "Merging the adapter into the base",
    "export": "Writing the artifacts",
    "checkpoints": "Writing the checkpoints as models",
    "generate_base": "The base model answers the held-out rows",
    "generate_tuned": "The tuned model answers the held-out rows",
    "generate_live": "The version that is live answers the held-out rows",
    "probe_base": "The base model answers general questions",
    "probe_tuned": "The tuned model answers general questions",
}


def train(job: Job, lease: Lease) -> Publish:
    model_services.begin_stage(job.subject_id, CustomModel.Status.TRAINING)
    model = CustomModel.objects.select_related("base").get(id=job.subject_id)
    dataset = _newest_dataset(model)
    run, _ = TrainingRun.objects.get_or_create(
        job=job,
        defaults={
            "org": model.org,
            "model": model,
            "dataset_version": dataset,
            "asked_config": model.training_config,
        },
    )
    config = planning.config_of_attempt(run) | job.overrides
    folder = f"{model.id}/versions/{job.id}-{job.attempt}"
    kept = settings.ARTIFACTS_DIR / str(model.id) / "checkpoints"
    spec = _training_spec(model, dataset) | {
        "out_dir": str(settings.ARTIFACTS_DIR / folder),
        "checkpoints_dir": str(kept),
        "config": config,
    }
    try:
        result = run_child(
            "training.runs.child",
            _write_spec(job, spec),
            lease=lease,
            on_event=_teller(lease),
            can_pause=True,
            when_gpu_oom=_half_the_batch(config),
        )
    except Cancelled:
        shutil.rmtree(kept, ignore_errors=True)
        raise
    return lambda: _publish_training(run, folder, result, kept)


def _training_spec(model: CustomModel, dataset: DatasetVersion) -> dict[str, Any]:
    """What training.runs.child is told of the model, whichever attempt it is."""
    return {
        "dataset": str(settings.ARTIFACTS_DIR / dataset.folder),
        "base_folder": str(settings.MODELS_DIR / model.base_id),
        "base_name": model.base_id,
        "keep_checkpoints": model.fine_tuning_requests.exists(),
    }


def _half_the_batch(config: dict[str, Any]) -> dict[str, Any] | None:
    """The same step in twice as many turns; checkpoints stay good."""
    whole = config.get("micro_batch_tokens") or config.get("tokens_per_batch")
    longest = config.get("max_seq_len") or 0
    return {"micro_batch_tokens": max(longest, whole // 2)} if whole else None


def _publish_training(run: TrainingRun, folder: str, result: dict[str, Any], kept: Path) -> None:
    """Checkpoints have done their work; those of a run that failed wait to be used again."""
    services.finish_training(run=run, folder=folder, result=result)
    openai_jobs.keep_results(run)
    transaction.on_commit(lambda: shutil.rmtree(kept, ignore_errors=True))


def evaluate(job: Job, lease: Lease) -> Publish:
    model_services.begin_stage(job.subject_id, CustomModel.Status.EVALUATING)
    run = evaluations.run_of(job)
    dataset = evaluations.dataset_of_version(run.version) or _newest_dataset(run.model)
    live = _note_what_is_judged_by(run)
    folder = f"{run.model_id}/evaluations/{job.id}-{job.attempt}"
    spec = _evaluation_spec(job, run, dataset) | {"out_dir": str(settings.ARTIFACTS_DIR / folder)}
    if live is not None:
        spec["live"] = _engine(*engine_paths(live)) | {
            "system_prompt": live.system_prompt,
            "name": f"version {live.number}",
        }
    result = run_child(
        "training.evaluations.child", _write_spec(job, spec), lease=lease, on_event=_teller(lease)
    )
    return lambda: finish_evaluation(run=run, folder=folder, result=result)


def _note_what_is_judged_by(run: EvaluationRun) -> ModelVersion | None:
    """The contract, which is frozen by now, and what is live while this evaluation runs."""
    live: ModelVersion | None = run.model.live_version
    if live is not None and (live.id == run.version_id or not engine_paths(live)[0].is_file()):
        live = None
    run.live = {"version": str(live.id), "number": live.number} if live else {}
    run.metric, run.contract_digest = run.model.contract["metric"], run.model.contract_digest
    run.save(update_fields=["live", "metric", "contract_digest"])
    return live


def _newest_dataset(model: CustomModel) -> DatasetVersion:
    """The one that was frozen last; a draft is never trained on."""
    dataset: DatasetVersion | None = model.dataset_versions.frozen().select_related("run").first()
    if dataset is None:
        raise Conflict(
            "This model has no frozen dataset yet.",
            code="no_dataset",
            hint="Freeze its draft, or build it again.",
        )
    return dataset


def _evaluation_spec(job: Job, run: EvaluationRun, dataset: DatasetVersion) -> dict[str, Any]:
    version, contract = run.version, run.model.contract
    test_file = settings.ARTIFACTS_DIR / dataset.folder / "test.jsonl"
    if run.model.test_rows:
        test_file = _write_test_rows(job, run.model)
    return {
        "test_file": str(test_file),
        "base": _engine(*base_paths(version.base)),
        "tuned": _engine(*engine_paths(version)),
        "system_prompt": version.system_prompt,
        "metric": run.metric,
        "contract": {
            "metric": contract["metric"],
            "checks": contract["checks"],
            "unread": [item["sentence"] for item in contract["unread"]],
            "digest": contract["checks_digest"],
        },
        "labels": dataset.run.intent.get("labels") or None,
        "max_tokens": None,
        "cache_dir": str(settings.ARTIFACTS_DIR / str(run.model_id) / "answers"),
        "probes": settings.EVALUATION_PROBES,
        "seed": 0,
    }


def _engine(gguf: Path, tokenizer_folder: Path) -> dict[str, str]:
    return {"gguf": str(gguf), "tokenizer_folder": str(tokenizer_folder)}


def _write_test_rows(job: Job, model: CustomModel) -> Path:
    path = _work_folder(job) / "test.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for row in model.test_rows:
            messages = [
                {"role": "user", "content": row["input"]},
                {"role": "assistant", "content": row["output"]},
            ]
            stream.write(json.dumps({"messages": messages}, ensure_ascii=False) + "\n")
    return path


def _write_spec(job: Job, spec: dict[str, Any]) -> str:
    path = _work_folder(job) / "spec.json"
    path.write_text(json.dumps(spec, indent=2))
    return str(path)


def _work_folder(job: Job) -> Path:
    """Beside the model's artifacts, so that deleting the model deletes it too."""
    folder = Path(settings.ARTIFACTS_DIR) / str(job.subject_id) / "jobs" / f"{job.id}-{job.attempt}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _teller(lease: Lease) -> Callable[[dict[str, Any]], None]:
    """Turn what the child says into the job's stage, progress and story."""
    stage = ""

    def tell(event: dict[str, Any]) -> None:
        nonlocal stage
        if event["event"] == "log":
            lease.log(event["message"])
            return
        if event["event"] == "checkpoint":
            _tell_checkpoint(lease, event["step"])
            return
        if event["stage"] != stage:
            stage = event["stage"]
            lease.stage(stage, STAGE_NAMES.get(stage, stage))
        detail = {key: value for key, value in event.items() if key not in ("event", "stage")}
        lease.progress(**detail)
        if event.get("loss") is not None or event.get("valid_loss") is not None:
            lease.tell(JobEvent.Kind.METRICS, data=detail)

    return tell


def _tell_checkpoint(lease: Lease, step: int) -> None:
    lease.check()
    told = f"Checkpoint kept at step {step:,}."
    lease.tell(JobEvent.Kind.CHECKPOINT, told, data={"step": step})
