"""Pass, inconclusive, fail: planted models of known quality, thresholds, and what is said."""

import numpy as np
import pytest

from training.scoring.criteria import read_criteria
from training.scoring.criterion import Criterion
from training.scoring.intervals import Interval, wilson
from training.scoring.outcomes import beats_base, meets, not_worse_than_live
from training.scoring.report import Answers, Measured, build_report

ROWS = 200


def planted(quality, seed):
    """Answers of a model that is right with this probability."""
    right = np.random.default_rng(seed).random(ROWS) < quality
    return [f"label_{i % 4}" if right[i] else f"wrong_{i % 3}" for i in range(ROWS)]


def report(tuned, base, criteria=(), live=None, measured=None, metric="exact_match", **values):
    answers = Answers(
        inputs=[f"message {i}" for i in range(len(tuned))],
        references=values.pop("references", [f"label_{i % 4}" for i in range(len(tuned))]),
        base=base,
        tuned=tuned,
        live=live,
        live_name="v1" if live else "",
        measured=measured or {},
        **values,
    )
    return build_report(
        answers, metric=metric, criteria=read_criteria(criteria), labels=None, seed=0
    )


@pytest.mark.parametrize(
    ("quality", "verdict"), [(0.85, "pass"), (0.6, "inconclusive"), (0.35, "fail")]
)
@pytest.mark.parametrize("seed", range(5))
def test_planted_models_better_equal_and_worse_than_their_base_are_distinguished(
    quality, verdict, seed
):
    result = report(planted(quality, 2 * seed), planted(0.6, 2 * seed + 1))
    assert result["verdict"] == verdict


@pytest.mark.parametrize(("quality", "outcome"), [(0.85, "pass"), (0.6, "pass"), (0.35, "fail")])
def test_only_a_drop_beyond_the_interval_fails_beside_the_live_version(quality, outcome):
    result = report(planted(quality, 1), planted(0.05, 2), live=planted(0.6, 3))
    assert result["criteria"][-1]["metric"] == "not_worse_than_live"
    assert result["criteria"][-1]["outcome"] == outcome
    assert result["live"]["name"] == "v1"
    assert result["live"]["difference"]["score"] == pytest.approx(
        result["tuned"]["score"] - result["live"]["score"]
    )
    assert result["verdict"] == outcome


def test_without_a_live_version_nothing_is_required_of_it():
    result = report(planted(0.9, 1), planted(0.1, 2))
    assert result["live"] is None
    assert [check["metric"] for check in result["criteria"]] == ["beats_base"]


def test_a_live_version_that_does_not_exist_yet_cannot_be_better():
    result = report(planted(0.9, 1), planted(0.1, 2), [{"metric": "not_worse_than_live"}])
    assert result["verdict"] == "pass"


@pytest.mark.parametrize(
    ("right", "rows", "mark", "outcome"),
    [
        (300, 300, 0.99, "pass"),  # though Wilson's interval begins at 0.987
        (85, 100, 0.80, "pass"),  # met; a model below 0.70 is ruled out
        (25, 30, 0.80, "inconclusive"),  # met, but 0.66 is not ruled out
        (75, 100, 0.80, "inconclusive"),  # missed by what chance explains
        (60, 100, 0.80, "fail"),
        (2, 2, 0.50, "inconclusive"),
    ],
)
def test_a_threshold_is_decided_by_the_score_and_trusted_by_the_interval(
    right, rows, mark, outcome
):
    result, said = meets(wilson(right / rows, rows), Criterion("exact_match", ">=", mark))
    assert result == outcome
    assert ("within the 95% interval" in said) == (rows == 300 or outcome == "inconclusive") or (
        right,
        rows,
    ) == (85, 100)


@pytest.mark.parametrize(
    ("score", "low", "high", "outcome"),
    [
        (1.0, 0.9, 1.1, "pass"),
        (1.9, 1.5, 2.2, "pass"),
        (1.9, 1.5, 2.9, "inconclusive"),
        (2.1, 1.9, 2.4, "inconclusive"),
        (3.0, 2.8, 3.3, "fail"),
    ],
)
def test_an_upper_bound_is_decided_the_other_way_round(score, low, high, outcome):
    check = Criterion("latency", "<=", 2.0)
    result, said = meets(Interval(score, low, high), check)
    assert result == outcome
    assert f"{score:.4g} seconds" in said


def test_what_is_said_of_a_comparison_names_points_and_interval():
    assert beats_base(Interval(0.1, 0.05, 0.15), "exact_match", identical=False) == (
        "pass",
        "The tuned model is better than its base: +10.0 points on exact_match "
        "(95% interval +5.0 to +15.0).",
    )
    outcome, said = not_worse_than_live(Interval(-0.1, -0.15, -0.05), "exact_match", "v3")
    assert outcome == "fail"
    assert "worse than the live version v3" in said


def test_quantities_are_judged_by_their_medians():
    measured = {"tuned": Measured(latencies=[0.1] * 20, size_mb=145.0, tokens=[3] * ROWS)}
    criteria = [
        "Answers in under 2 seconds",
        "The model is below 200 MB",
        "Median length of at most 5 tokens",
        "Median length within twice the reference",
        "The model is below 100 MB",
    ]
    result = report(planted(0.9, 1), planted(0.1, 2), criteria, measured=measured)
    checks = {check["asked"]: check for check in result["criteria"]}
    assert [checks[sentence]["outcome"] for sentence in criteria] == ["pass"] * 4 + ["fail"]
    assert checks[criteria[1]]["score"] == 145.0
    assert checks[criteria[1]]["base"] is None


def test_a_quantity_that_was_not_measured_does_not_pass():
    result = report(planted(0.9, 1), planted(0.1, 2), ["Answers in under 2 seconds"])
    assert result["criteria"][0]["outcome"] == "inconclusive"
    assert result["criteria"][0]["sentence"].startswith("Not measured")


def test_sql_without_tables_is_not_measured():
    result = report(planted(0.9, 1), planted(0.1, 2), ["Execution accuracy of at least 50%"])
    assert result["criteria"][0]["outcome"] == "inconclusive"
    assert result["criteria"][0]["rows"] == 0


def test_a_criterion_shows_the_scores_of_all_sides_and_the_trivial_one():
    result = report(planted(0.9, 1), planted(0.3, 2), ["Accuracy of at least 70%"])
    check = result["criteria"][0]
    assert check["tuned"] == result["tuned"]
    assert check["base"] == result["base"]
    assert check["baseline"]["name"] == "majority answer"
    assert check["baseline"]["score"] == 0.25
    assert check["words"].endswith("is at least 70 %.")
