"""Scores, intervals, the baseline, the order of rows and the verdict."""

import numpy as np
import pytest

from training.scoring.criteria import read_criteria
from training.scoring.intervals import Bootstrap
from training.scoring.metrics import build_scorer
from training.scoring.report import Answers, build_report, worst_first


def answers(right_base, right_tuned, rows=100):
    """Make answers of which the first `right_…` rows of each side are right."""
    references = [f"label_{i % 5}" for i in range(rows)]
    return Answers(
        inputs=[f"message {i}" for i in range(rows)],
        references=references,
        base=[r if i < right_base else "wrong" for i, r in enumerate(references)],
        tuned=[r if i < right_tuned else "wrong" for i, r in enumerate(references)],
    )


def report(result, criteria=(), **values):
    return build_report(
        result,
        metric="exact_match",
        criteria=read_criteria(criteria),
        labels=None,
        seed=0,
        **values,
    )


def outcomes(result):
    return {check["metric"]: check["outcome"] for check in result["criteria"]}


def test_a_clear_gain_passes_and_carries_scores_with_intervals():
    result = report(answers(10, 70))
    assert result["verdict"] == "pass"
    assert result["n_test"] == 100
    assert (result["base"]["score"], result["tuned"]["score"]) == (0.1, 0.7)
    # the normal approximation for 70 of 100 is 0.61 to 0.79
    assert result["tuned"]["low"] == pytest.approx(0.61, abs=0.02)
    assert result["tuned"]["high"] == pytest.approx(0.79, abs=0.02)
    assert result["difference"]["score"] == pytest.approx(0.6)


def test_a_gain_that_the_rows_cannot_distinguish_from_none_is_inconclusive():
    result = report(answers(50, 51))
    assert outcomes(result) == {"beats_base": "inconclusive"}
    assert result["verdict"] == "inconclusive"
    assert result["criteria"][0]["passed"] is False
    assert "cannot tell" in result["criteria"][0]["sentence"]


@pytest.mark.parametrize(("base", "tuned"), [(50, 50), (0, 0)])
def test_no_gain_is_inconclusive_and_said(base, tuned):
    result = report(answers(base, tuned))
    assert result["verdict"] == "inconclusive"
    assert "answers every row exactly as its base" in result["criteria"][0]["sentence"]


def test_a_model_that_is_worse_than_its_base_beyond_chance_fails():
    result = report(answers(50, 20))
    assert result["verdict"] == "fail"
    assert "not better than its base but worse" in result["criteria"][0]["sentence"]


def test_a_small_drop_is_inconclusive():
    result = report(answers(50, 49))
    assert result["verdict"] == "inconclusive"
    assert "not better than its base on these rows" in result["criteria"][0]["sentence"]


def test_the_comparison_is_paired():
    """Ten rows more out of the same hundred is certain, though the two intervals overlap widely."""
    result = report(answers(50, 60))
    assert result["base"]["high"] > result["tuned"]["low"]
    assert result["verdict"] == "pass"


def test_the_verdict_is_the_worst_of_the_criteria():
    met = {"metric": "exact_match", "op": ">=", "value": 0.65}
    missed = {"metric": "exact_match", "op": ">=", "value": 0.9}
    assert report(answers(10, 70), [met])["verdict"] == "pass"
    result = report(answers(10, 70), [met, missed])
    assert result["verdict"] == "fail"
    assert [check["passed"] for check in result["criteria"]] == [True, False, True]
    assert "required was at least 90 %: not met" in result["criteria"][1]["sentence"]


def test_a_mark_inside_the_interval_is_said_to_be_there():
    result = report(answers(10, 70), ["Accuracy of at least 68%"])
    assert result["criteria"][0]["passed"] is True
    assert "within the 95% interval" in result["criteria"][0]["sentence"]


def test_few_rows_and_unread_criteria_are_said():
    result = report(answers(1, 8, rows=10), ["Be kind to customers."])
    assert "Only 10 held-out rows" in result["note"]
    assert "Be kind to customers." in result["note"]
    assert result["unread_criteria"] == ["Be kind to customers."]
    assert report(answers(10, 70))["note"] == ""


def test_the_baseline_is_the_better_of_majority_answer_and_copied_input():
    result = report(answers(0, 70))
    assert result["baseline"]["name"] == "majority answer"
    assert result["baseline"]["score"] == pytest.approx(0.2)
    copied = Answers(inputs=["a", "b"], references=["a", "b"], base=["", ""], tuned=["a", "b"])
    assert report(copied)["baseline"]["name"] == "copy of the input"


def test_the_worst_rows_stand_first_and_regressions_before_them():
    result = Answers(
        inputs=["i0", "i1", "i2", "i3"],
        references=["r"] * 4,
        base=["x", "x", "r", "r"],
        tuned=["r", "x", "x", "r"],
    )
    rows = worst_first(result, build_scorer("exact_match", {}, []))
    assert [row["index"] for row in rows] == [2, 1, 3, 0]
    assert rows[0] == {
        "index": 2,
        "input": "i2",
        "reference": "r",
        "base": "r",
        "tuned": "x",
        "base_score": 1.0,
        "tuned_score": 0.0,
    }


def test_the_same_seed_gives_the_same_interval():
    assert report(answers(40, 55)) == report(answers(40, 55))


def test_the_bootstrap_agrees_with_resampling_row_by_row():
    references = [f"label_{i % 3}" for i in range(40)]
    predictions = [r if i % 3 else "label_0" for i, r in enumerate(references)]
    metric, bootstrap = build_scorer("macro_f1", {}, []), Bootstrap(40, seed=1)
    quick = metric.combine(bootstrap.weights @ metric.sums(predictions, references))
    for weights, score in zip(bootstrap.weights[:20], quick, strict=False):
        picked = np.repeat(np.arange(40), weights.astype(int))
        slow = metric.score([predictions[i] for i in picked], [references[i] for i in picked])
        assert score == pytest.approx(slow)
