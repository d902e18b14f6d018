"""Which sources are looked at closely, with which rows, and what is decided where nothing could be
tested."""

from dataclasses import replace

import numpy as np
import pytest

from distillation.pipeline.choose.candidate_search import Finder
from distillation.pipeline.choose.retrieval import Evidence, route
from distillation.pipeline.choose.source_fit import SourceFit
from distillation.pipeline.types import IntentSpec, Query, SelectionConfig, SourceGroup
from distillation.pipeline.understand.intent import understand
from distillation.tests.pipeline.catalog import MemoryCatalog
from distillation.tests.pipeline.choose.test_fit import REPLIES, StyleScorer
from distillation.tests.pipeline.rows import WordsEmbedder, candidate

WRITE = IntentSpec("generate", "Write.", (Query("write", "requirement"),), ("write",))
SHOWN = replace(WRITE, queries=(*WRITE.queries, Query("a b", "example")))


def replies(source, start, system):
    return [
        candidate(
            f"my chair {i} is late", f"{start} customer, number {i}.", source=source, system=system
        )
        for i in range(30)
    ]


def found(*pools, scorer=None):
    rows = [row for pool in pools for row in pool]
    finder = Finder(MemoryCatalog(rows), WordsEmbedder(), scorer)
    result = finder.find(understand(REPLIES), SelectionConfig(rows=20), REPLIES.examples)
    return {r.group.source: r for r in result.routes}


def test_of_two_sources_that_describe_the_task_the_one_that_answers_so_is_chosen():
    task = REPLIES.text
    routes = found(
        replies("letters", "Dear", task), replies("chats", "Hi", task), scorer=StyleScorer()
    )
    assert (routes["letters"].chosen, routes["letters"].fit.verdict) == (True, "serves")
    assert (routes["chats"].chosen, routes["chats"].fit.verdict) == (False, "related")


def test_a_source_of_another_task_is_not_put_to_the_model():
    scorer = StyleScorer()
    weather = [candidate(f"sky {i}", f"Rain of {i} mm falls.", source="weather") for i in range(30)]
    routes = found(replies("letters", "Dear", REPLIES.text), weather, scorer=scorer)
    assert routes["weather"].fit.reason == "what it says of itself is another task"
    assert not any("sky" in text for shown in scorer.shown for text, _ in shown)


def routed(intent, verdict, *, described, score=None):
    """Route one source that says `described` of itself, with the fit that a test would give."""
    row = candidate("a b", "c d e f g h")
    group = SourceGroup("bank", "bank", "", rows=10)
    evidence = Evidence([group], [row], np.array([0.0]), {group.key: described}, null=0.0)
    [result] = route(intent, evidence, test=lambda _: {"bank": SourceFit("bank", verdict, "")})
    return result.chosen


@pytest.mark.parametrize(
    ("intent", "verdict", "described", "chosen"),
    [
        (SHOWN, "serves", 0.5, True),
        (SHOWN, "serves", 0.4, False),
        (SHOWN, "related", 0.9, False),
        (SHOWN, "unsure", 0.8, False),
        (SHOWN, "unsure", 0.9, True),
        (WRITE, "untested", 0.465, False),
        (WRITE, "untested", 0.6, True),
    ],
)
def test_a_test_that_failed_decides_and_one_that_was_not_made_asks_for_more(
    intent, verdict, described, chosen
):
    assert routed(intent, verdict, described=described) is chosen
