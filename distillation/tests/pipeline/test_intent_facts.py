"""What is kept of what was understood comes back as it was written."""

import json
from dataclasses import replace

from distillation.pipeline.choose.source_fit import RoutedGroup, SourceFit
from distillation.pipeline.gaps import DataGap, RelatedSource
from distillation.pipeline.intent_facts import IntentFacts, SourceRoute, routes_by_source
from distillation.pipeline.types import Example, Query, Requirement, SourceGroup
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
    assert route == SourceRoute("helpdesk", "", 2, 1, 20, 0.512, 0.111, 0.2, 0.3, True, "1")
    [alone] = routes_by_source([routed("a", chosen=False)])
    assert (alone.task, alone.tasks, alone.chosen) == ("a", 1, False)


def test_why_a_source_was_not_used_and_what_is_missing_come_back():
    fit = SourceFit("helpdesk", "related", "too far", gain=0.2, samples=(Example("a", "b"),))
    unused = replace(routed("a", chosen=False), fit=fit)
    related = RelatedSource("1", "helpdesk", 10, "too far", (Example("a", "b"),))
    gap = DataGap(3, 50, "label", {"x": 3, "y": 0}, ("y",), (related,))
    facts = IntentFacts.of(INTENT, routes_by_source([unused]), gap)
    read = IntentFacts.from_json(json.loads(json.dumps(facts.to_json())))
    assert (read, read.gap) == (facts, gap)
    [route] = read.related
    assert (route.verdict, route.reason, route.samples) == ("related", "too far", fit.samples)


def test_runs_of_earlier_releases_and_of_files_can_be_read():
    assert IntentFacts.from_json({}) == IntentFacts()
    old = {"labels": None, "queries": ["cards"], "sources": [{"source": "bank", "gone": 1}]}
    facts = IntentFacts.from_json(old)
    assert (facts.labels, facts.queries) == ((), (Query("cards", ""),))
    assert facts.sources == (replace(SourceRoute(), source="bank"),)
