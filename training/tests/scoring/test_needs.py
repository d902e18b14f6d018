"""How many held-out rows a criterion needs, by the rule that will judge it."""

import pytest

from training.scoring.criteria import read_criteria
from training.scoring.criterion import Criterion
from training.scoring.outcomes import hits_needed, needs, rows_to_decide
from training.scoring.report import Answers, build_report

EXACT = Criterion("exact_match", ">=", 0.85)


def judged(criterion, hits, rows):
    """Return what a real evaluation says of so many hits."""
    tuned = ["a"] * hits + ["b"] * (rows - hits)
    answers = Answers(["q"] * rows, ["a"] * rows, ["b"] * rows, tuned)
    check = {"metric": criterion.metric, "op": criterion.op, "value": criterion.value}
    report = build_report(
        answers, metric="exact_match", criteria=read_criteria([check]), labels=None, seed=3
    )
    return report["criteria"][0]["outcome"]


@pytest.mark.parametrize(("mark", "rows"), [(0.85, 50), (0.85, 30), (0.6, 80), (0.95, 200)])
def test_as_many_as_are_said_to_be_needed_pass_and_one_fewer_does_not(mark, rows):
    criterion = Criterion("exact_match", ">=", mark)
    needed = hits_needed(criterion, rows)
    assert judged(criterion, needed, rows) == "pass"
    assert judged(criterion, needed - 1, rows) != "pass"


def test_with_as_many_rows_as_are_proposed_the_mark_itself_passes():
    rows = rows_to_decide(EXACT)
    assert judged(EXACT, round(0.85 * rows + 0.49), rows) == "pass"
    assert judged(EXACT, 43, 50) == "inconclusive"  # 86 % of too few


def test_the_sentence_says_what_it_takes_and_proposes_more_rows():
    (few,) = needs([EXACT], 50)
    assert few.startswith("“exact_match at least 85 %” of 50 held-out rows needs 45 right")
    assert "With 90 rows the mark itself is enough: add test rows." in few
    (enough,) = needs([EXACT], 200)
    assert enough == "“exact_match at least 85 %” of 200 held-out rows needs 170 right."
    (none,) = needs([EXACT], 5)
    assert "of 5 held-out rows cannot be decided" in none
    (most,) = needs([Criterion("refusal", "<=", 0.05)], 50)
    assert "allows 1," in most


def test_only_the_rows_that_a_criterion_is_measured_on_count():
    recall = Criterion("label_recall", ">=", 0.8, options={"label": "Rare"})
    (said,) = needs([recall], 60, ["rare"] * 4 + ["common"] * 56)
    assert "of 4 held-out rows cannot be decided" in said
    (said,) = needs([Criterion("json_equal", ">=", 0.8)], 0, ["{}"] * 60 + ["text"] * 40)
    assert "of 60 held-out rows" in said
    assert needs([Criterion("macro_f1", ">=", 0.8), Criterion("beats_base", ">")], 60) == []
