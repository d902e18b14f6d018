"""Evaluations: submit one of a version, and keep its result as its job ends."""

from typing import Any

from distillation.models import DatasetVersion
from models_app.models import CustomModel, ModelVersion
from modelstation.core.errors import Conflict
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
from training.evaluations.reports import report_of
from training.models import EvaluationRun, EvaluationScore, TrainingRun
from training.scoring.shapes import EvaluationResult, Score

LIVE_KEPT = ("score", "low", "high", "difference")
SCORES_KEPT = ("metric", "n_test", "base", "tuned", "difference", "verdict", "rivals")


def submit_evaluation(version: ModelVersion, *, is_again: bool = False) -> EvaluationRun:
    """Create the job, and the row of the version it measures, in the caller's transaction."""
    job = jobs.submit(kind="evaluate", org=version.org, subject_id=version.model_id)
    return _row_of(job, version, is_again=is_again)


def run_of(job: Job) -> EvaluationRun:
    """Return the evaluation that a job was submitted for. One that was queued again measures what
    the failed one before it did; failing that, the newest version.
    """
    known = EvaluationRun.objects.select_related("model", "version__base", "version__model")
    run: EvaluationRun | None = known.filter(job=job).first()
    if run is not None:
        return run
    model = CustomModel.objects.get(id=job.subject_id)
    last = known.filter(model=model).first()
    if last is not None and not last.verdict:
        return _row_of(job, last.version, is_again=last.is_again)
    version = model.versions.select_related("base", "model").first()
    if version is None:
        raise Conflict("There is no trained version to evaluate.", code="no_version")
    return _row_of(job, version, is_again=False)


def _row_of(job: Job, version: ModelVersion, *, is_again: bool) -> EvaluationRun:
    run: EvaluationRun = EvaluationRun.objects.create(
        org=version.org,
        job=job,
        model=version.model,
        version=version,
        metric=version.model.contract.get("metric", ""),
        contract_digest=version.model.contract_digest,
        test_origin="user" if version.model.test_rows else "split",
        is_again=is_again,
    )
    return run


def dataset_of_version(version: ModelVersion) -> DatasetVersion | None:
    """Return the one it was trained on; should its run be gone, the one of the same digest."""
    frozen = version.model.dataset_versions.frozen().select_related("model", "run")
    own = frozen.filter(training_runs__version=version).first()
    dataset: DatasetVersion | None = own or frozen.filter(digest=version.dataset_digest).first()
    return dataset


def keep_result(*, run: EvaluationRun, folder: str, result: EvaluationResult) -> None:
    """Keep what was measured, with the run and, unsaved, with its version."""
    run.folder, run.test_count, run.verdict = folder, result["n_test"], result["verdict"]
    run.criteria, run.live = result["criteria"], _with_live(run, result)
    run.save(update_fields=["folder", "test_count", "verdict", "criteria", "live"])
    names = ("base", "tuned", "baseline")
    scores: list[Score] = [result["base"], result["tuned"], result["baseline"]]
    EvaluationScore.objects.bulk_create(
        EvaluationScore(
            run=run,
            subject=subject,
            metric=run.metric,
            **{name: score.get(name) for name in ("score", "low", "high")},
        )
        for subject, score in zip(names, scores, strict=True)
    )
    version = run.version
    version.scores = scores_of(run, result)
    version.contract_digest = version.scores["contract_digest"]


def version_as_asked(job: Job) -> ModelVersion | None:
    """Return what this evaluation was to measure, if nothing but its training was requested."""
    run = EvaluationRun.objects.filter(job=job).select_related("version__model__org").first()
    return run.version if run is not None and is_trained_as_asked(run.version) else None


def is_trained_as_asked(version: ModelVersion) -> bool:
    related = ("model", "dataset_version__run__job")
    run = TrainingRun.objects.filter(version=version).select_related(*related).first()
    return run is not None and run.is_trained_as_requested


def _with_live(run: EvaluationRun, result: EvaluationResult) -> dict[str, Any]:
    """Which version was live is known since the job began; how it did is in the report."""
    live = result.get("live") or report_of(run).get("live")
    if not run.live or not live:
        return {}
    return {**run.live, **{key: value for key, value in live.items() if key in LIVE_KEPT}}


def scores_of(run: EvaluationRun, result: EvaluationResult) -> dict[str, Any]:
    """Return what the version keeps: enough to decide by it whether it may go live."""
    kept = {key: value for key, value in result.items() if key in SCORES_KEPT}
    kept |= {"evaluation": str(run.id), "contract_digest": run.contract_digest}
    return kept | ({"live": run.live} if run.live else {})


def reason_of(result: EvaluationResult) -> str:
    """Return the sentences of the criteria that were missed or not settled, and what the probes
    warn of; empty when all is well.
    """
    missed = [check["sentence"] for check in result["criteria"] if check["passed"] is not True]
    forgotten = (result.get("probes") or {}).get("note", "")
    return " ".join(filter(None, [*missed, forgotten]))
