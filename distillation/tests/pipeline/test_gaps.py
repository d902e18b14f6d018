"""What is missing is named label by label and field by field, with what lies near."""

from dataclasses import replace

import pytest

from distillation.pipeline.choose.source_fit import RoutedGroup, SourceFit
from distillation.pipeline.gaps import gap_of, lacks_too_much
from distillation.pipeline.types import Example, Requirement, SourceGroup
from distillation.pipeline.understand.intent import understand
from distillation.tests.pipeline.rows import scored

TRADES = understand(
    Requirement("Label each message. Answer with one of: plumbing, electrical, heating, other.")
)
ORDERS = understand(
    Requirement("Orders as JSON.", examples=(Example("2 nuts", '{"item": "nut", "count": 2}'),))
)


def routed(source, verdict, *, gain=None, chosen=False, score=0.5):
    fit = SourceFit(source, verdict, f"{source} is {verdict}", gain=gain)
    group = SourceGroup(source, source, "", rows=10)
    return RoutedGroup(group, score, 0.5, 0.0, 0.0, chosen=chosen, fit=fit)


def test_rows_are_counted_per_label_and_missing_ones_are_named():
    rows = [scored(f"tap {i}", "plumbing") for i in range(3)] + [scored("fuse", "electrical")]
    gap = gap_of(rows, TRADES, (), 50)
    assert (gap.by, gap.available, gap.needed) == ("label", 4, 50)
    assert gap.found == {"plumbing": 3, "electrical": 1, "heating": 0, "other": 0}
    assert gap.missing == ("heating", "other")


def test_fields_are_counted_as_labels_are():
    gap = gap_of([scored("a nut", '{"item": "nut"}')], ORDERS, (), 50)
    assert (gap.by, gap.found, gap.missing) == ("field", {"count": 0, "item": 1}, ("count",))


def test_free_text_has_no_parts():
    gap = gap_of([], replace(TRADES, task_kind="generate", labels=()), (), 50)
    assert (gap.by, gap.found, gap.missing) == ("", {}, ())


@pytest.mark.parametrize(
    ("given", "lacks"),
    [
        (["plumbing", "electrical", "heating"], False),  # "other" is what no source knows
        (["plumbing", "electrical"], True),
        ([], True),
    ],
)
def test_a_label_without_rows_is_too_much(given, lacks):
    rows = [scored("a", label) for label in given]
    assert lacks_too_much(gap_of(rows, TRADES, (), 50)) is lacks


def test_related_are_the_sources_that_were_looked_at_and_not_used_nearest_first():
    routes = [
        routed("used", "serves", gain=1.0, chosen=True),
        routed("far", "related"),
        routed("near", "related", gain=0.6),
        replace(routed("unseen", "related"), fit=None),
    ]
    related = gap_of([], TRADES, routes, 50).related
    assert [source.source for source in related] == ["near", "far"]
    assert related[0].reason == "near is related"
