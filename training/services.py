"""Deeds that end a training or an evaluation. Called inside the transaction that ends their job."""

from typing import Any

from django.db.models import Max

from models_app import services as model_services
from models_app.models import CustomModel, ModelVersion
from modelstation.core import jobs
from training.models import EvaluationRun, EvaluationScore, TrainingRun


def finish_training(*, run: TrainingRun, folder: str, result: dict[str, Any]) -> None:
    """A draft version with its artifacts; its evaluation is enqueued with it."""
    run.version = ModelVersion.objects.create(
        org=run.org,
        model=run.model,
        number=_next_number(run.model),
        base_id=run.model.base_id,
        system_prompt=run.dataset_version.system_prompt,
        dataset_digest=run.dataset_version.digest,
        folder=folder,
        artifacts=result["artifacts"],
        config=result["config"],
    )
    run.resolved_config = result["config"]
    run.facts = {
        key: value for key, value in result.items() if key not in ("event", "artifacts", "config")
    }
    run.save(update_fields=["version", "resolved_config", "facts"])
    jobs.submit(kind="evaluate", org=run.org, subject_id=run.model_id)


def finish_evaluation(*, run: EvaluationRun, folder: str, result: dict[str, Any]) -> None:
    """Keep the scores, and let the verdict decide what becomes of the model."""
    run.folder = folder
    run.test_count = result["n_test"]
    run.verdict = result["verdict"]
    run.criteria = result["criteria"]
    run.save(update_fields=["folder", "test_count", "verdict", "criteria"])
    EvaluationScore.objects.bulk_create(
        EvaluationScore(
            run=run,
            subject=subject,
            metric=run.metric,
            score=result[subject]["score"],
            low=result[subject].get("low"),
            high=result[subject].get("high"),
        )
        for subject in EvaluationScore.Subject.values
    )
    model_services.finish_evaluation(
        version=run.version,
        scores={key: result[key] for key in ("metric", "n_test", "base", "tuned", "verdict")},
        passed=run.verdict == EvaluationRun.Verdict.PASS,
        reason=reason_of(result),
    )


def reason_of(result: dict[str, Any]) -> str:
    """The sentences of the criteria that were missed, or could not be settled; empty when all
    passed.
    """
    missed = [
        criterion["sentence"] for criterion in result["criteria"] if criterion["passed"] is not True
    ]
    return " ".join(missed)


def _next_number(model: CustomModel) -> int:
    newest: int | None = model.versions.aggregate(newest=Max("number"))["newest"]
    return (newest or 0) + 1
