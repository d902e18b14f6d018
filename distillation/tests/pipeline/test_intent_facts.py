"""What is kept of what was understood comes back as it was written."""

import json
from dataclasses import replace

from distillation.pipeline.intent_facts import IntentFacts, SourceRoute, routes_by_source
from distillation.pipeline.types import Example, Query, Requirement, RoutedGroup, SourceGroup
from distillation.pipeline.understand.intent import understand

INTENT = understand(
    Requirement(
        "Route tickets to one of: hardware, network, other.",
        examples=(Example("The screen is black", "hardware"),),
    )
)


def routed(task, *, chosen, rows=10, score=0.51234):
    group = SourceGroup(source_id="1", source="helpdesk", task=task, rows=rows)
    return RoutedGroup(group, score, 0.11111, 0.2, 0.3, chosen)


def test_facts_come_back_as_they_were_written():
    routes = routes_by_source([routed("a", chosen=True), routed("b", chosen=False)])
    facts = IntentFacts.of(INTENT, routes)
    assert IntentFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts
    assert facts.labels == ("hardware", "network", "other")
    assert facts.explanation


def test_the_stored_shape_is_that_of_the_api():
    stored = IntentFacts.of(INTENT).to_json()
    assert list(stored) == [
        "task_kind", "labels", "labels_closed", "label_count", "json_keys", "json_schema",
        "language", "answer_min_chars", "answer_max_chars", "system_prompt",
        "label_descriptions", "examples_outside", "queries", "explanation",
    ]  # fmt: skip
    assert stored["queries"][0]["origin"] == "requirement"
    assert set(stored["explanation"][0]) == {"what", "sentence"}
    assert IntentFacts.of(INTENT, ()).to_json() == stored | {"sources": []}


def test_a_source_is_one_line_with_the_scores_of_its_best_task():
    [route] = routes_by_source([routed("a", chosen=True), routed("b", chosen=False, score=0.1)])
    assert route == SourceRoute("helpdesk", "", 2, 1, 20, 0.512, 0.111, 0.2, 0.3, True)
    [alone] = routes_by_source([routed("a", chosen=False)])
    assert (alone.task, alone.tasks, alone.chosen) == ("a", 1, False)


def test_runs_of_earlier_releases_and_of_files_can_be_read():
    assert IntentFacts.from_json({}) == IntentFacts()
    old = {"labels": None, "queries": ["cards"], "sources": [{"source": "bank", "gone": 1}]}
    facts = IntentFacts.from_json(old)
    assert (facts.labels, facts.queries) == ((), (Query("cards", ""),))
    assert facts.sources == (replace(SourceRoute(), source="bank"),)
