"""What a model's criteria are compiled with: the metric and the labels of its kind of task."""

from typing import Any

from distillation.intents import understood
from distillation.pipeline.intent_facts import IntentFacts
from models_app.drafts import ModelDraft
from models_app.models import CustomModel
from training.scoring.criteria import compile_contract

METRIC_OF_TASK = {
    "classify": "exact_match",
    "extract_json": "json_equal",
    "sql": "exact_match",
    "number": "final_number_match",
}
DEFAULT_METRIC = "rougeL_f1"


def compile_for(asked: CustomModel | ModelDraft) -> dict[str, Any]:
    """The checks that the criteria state. ValueError for one that is malformed."""
    intent = _intent(asked)
    metric = asked.metric or METRIC_OF_TASK.get(intent.task_kind, DEFAULT_METRIC)
    labels = list(intent.labels) or None
    return dict(compile_contract(asked.success_criteria, metric=metric, labels=labels))


def _intent(asked: CustomModel | ModelDraft) -> IntentFacts:
    """As understood from a dataset that is there, else from the requirement."""
    if isinstance(asked, CustomModel) and not asked._state.adding:
        dataset = asked.dataset_versions.frozen().select_related("run").first()
        if dataset is not None and dataset.run.intent:
            facts: IntentFacts = dataset.run.intent_facts
            return facts
    return IntentFacts.of(understood(asked))
