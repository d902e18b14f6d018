"""A model is not passed on what it was never taught."""

import json

from distillation.pipeline.coverage import Coverage, coverage_of
from training.evaluations.held_out import coverage_check
from training.evaluations.spec import EvaluationSpec
from training.tests.scoring.test_report import answers, report


def coverage(unseen, rows):
    held_out = [*(f"new {n}" for n in range(unseen)), *["known"] * (rows - unseen)]
    return coverage_of(["known"], held_out, "classify")


def test_where_everything_else_passes_unseen_labels_leave_it_undecided():
    result = report(answers(10, 70), more=coverage_check(coverage(120, 600)))
    assert result["verdict"] == "inconclusive"
    check = result["criteria"][-1]
    assert (check["metric"], check["outcome"], check["rows"]) == ("coverage", "inconclusive", 600)
    assert "120 of 121 labels of the held-out rows occur in no training row" in check["sentence"]
    assert "120 of 600 held-out rows (20.0%)" in check["sentence"]


def test_a_trifle_is_told_and_passes():
    result = report(answers(10, 70), more=coverage_check(coverage(1, 100)))
    assert result["verdict"] == "pass"
    assert "1 of 2 labels" in result["criteria"][-1]["sentence"]


def test_a_failed_criterion_stays_failed():
    criteria = ["exact match at least 90 %"]
    result = report(answers(10, 20), criteria, more=coverage_check(coverage(120, 600)))
    assert result["verdict"] == "fail"


def test_nothing_is_added_where_all_was_shown():
    assert coverage_check(coverage(0, 10)) == coverage_check(Coverage()) == []


def test_it_reaches_the_child_whole(tmp_path):
    side = {"gguf": "a", "tokenizer_folder": "b"}
    spec = EvaluationSpec.from_json(
        {"test_file": "t", "base": side, "tuned": side, "metric": "exact_match", "out_dir": "o"}
    )
    assert spec.coverage == Coverage()
    told = EvaluationSpec(**{**vars(spec), "coverage": coverage(3, 9)})
    back = EvaluationSpec.from_json(json.loads(json.dumps(told.to_json())))
    assert back.coverage == coverage(3, 9)
