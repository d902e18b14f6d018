"""What a model's criteria are compiled with: the metric and the labels of its kind of task."""

from dataclasses import replace
from typing import Any

from distillation.intents import facts_of, understood
from models_app.drafts import ModelDraft
from models_app.models import CustomModel
from training.scoring.criteria import CompiledChecks, compile_contract
from training.scoring.metrics import default_metric, objection_to_metric


def compile_for(asked: CustomModel | ModelDraft) -> CompiledChecks:
    """The checks that the criteria state. ValueError for one that is malformed."""
    intent = _intent(asked)
    kind = intent.get("task_kind", "")
    metric = asked.metric or default_metric(kind)
    labels = intent.get("labels") or None
    checks = compile_contract(asked.success_criteria, metric=metric, labels=labels)
    inputs = [row["input"] for row in asked.test_rows]
    return replace(checks, objection=objection_to_metric(metric, kind, inputs))


def _intent(asked: CustomModel | ModelDraft) -> dict[str, Any]:
    """As understood from a dataset that is there, else from the requirement."""
    if isinstance(asked, CustomModel) and not asked._state.adding:
        dataset = asked.dataset_versions.frozen().select_related("run").first()
        if dataset is not None and dataset.run.intent:
            return dict(dataset.run.intent)
    return facts_of(understood(asked))
