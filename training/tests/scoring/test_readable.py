"""No metric passes on answers that are all wrong, whatever form the held-out answers have."""

import pytest

from training.scoring.criteria import read_criteria
from training.scoring.metrics import METRICS, build_scorer, objection_to_metric, unreadable
from training.scoring.report import Answers, build_report

ROWS = 60
FORMS = {
    "labels": ["billing", "login", "delivery"],
    "texts": ["The ship sailed at dawn.", "Rain fell over the hills all week."],
    "other letters": ["Корабль вышел на рассвете.", "Всю неделю шёл дождь."],
    "numbers": ["17", "3.5", "about 40"],
    "objects": ['{"name": "Ann", "age": 40}', '{"name": "Bo", "age": 7}'],
    "entities": ['{"person": ["Ann"], "city": []}', '{"person": [], "city": ["Rome", "Oslo"]}'],
    "empty objects": ["{}"],
    "lists": ["[]", '["a"]'],
    "queries": ["SELECT name FROM t", "SELECT count(*) FROM t WHERE a = 1"],
    "nothing": [""],
}
WRONG = ["I do not know.", "", "{broken", "[1, 2]", '{"x": 99}', "-12345", "DROP", "zebra yak"]
WHOLE = {"macro_recall", "macro_f1", "least_recall", "least_f1", "chrf", "entity_f1", "field_f1"}
GRADING = sorted(
    name
    for name, metric in METRICS.items()
    if not (metric.option or metric.less_is_better or metric.of_form or metric.needs_tables)
)


def references(form):
    return [FORMS[form][n % len(FORMS[form])] for n in range(ROWS)]


def is_wrong(answer, form):
    right = {one.strip().lower() for one in FORMS[form]}
    return answer.strip().lower() not in right and not any(one in answer for one in right if one)


@pytest.mark.parametrize("metric", GRADING)
@pytest.mark.parametrize("form", FORMS)
def test_answers_that_are_all_wrong_never_pass(metric, form):
    expected = references(form)
    wrong = [answer for answer in WRONG if is_wrong(answer, form)]
    scorer = build_scorer(metric, {}, expected)
    assert max(scorer.score([answer] * ROWS, expected) for answer in wrong) < 0.5
    report = build_report(
        Answers([""] * ROWS, expected, base=["zzz"] * ROWS, tuned=wrong[:1] * ROWS),
        metric=metric,
        criteria=read_criteria([{"metric": metric, "op": ">=", "value": 0.5}]),
        labels=None,
        seed=0,
    )
    assert report["verdict"] != "pass"
    assert report["criteria"][0]["outcome"] != "pass"


@pytest.mark.parametrize("metric", GRADING)
@pytest.mark.parametrize("form", FORMS)
def test_right_answers_score_one_or_are_said_not_to_be_measured(metric, form):
    expected = references(form)
    scorer = build_scorer(metric, {}, expected)
    sums = scorer.sums(expected, expected)
    if scorer.rows(sums):
        assert scorer.score(expected, expected) == pytest.approx(1)
    else:
        assert unreadable(metric, expected)
        assert scorer.score(expected, expected) == 0


@pytest.mark.parametrize("metric", GRADING)
@pytest.mark.parametrize("form", FORMS)
def test_the_rows_and_the_whole_agree(metric, form):
    expected = [one for one in references(form) if not unreadable(metric, [one])]
    answers = [one if n % 3 else WRONG[n % len(WRONG)] for n, one in enumerate(expected)]
    scorer = build_scorer(metric, {}, expected)
    if not expected:
        return
    graded, whole = scorer.of_rows(answers, expected), scorer.score(answers, expected)
    if metric not in WHOLE:
        assert whole == pytest.approx(sum(graded) / len(graded))
    if not metric.startswith("least") and form != "empty objects":  # nothing there can be hit
        assert (whole == 0) == (sum(graded) == 0)


def test_a_metric_that_reads_no_held_out_answer_is_refused_and_later_not_measured():
    labels = references("labels")
    assert "entity_f1" in objection_to_metric("entity_f1", "classify", [], labels)
    report = build_report(
        Answers([""] * ROWS, labels, base=labels[::-1], tuned=labels),
        metric="entity_f1",
        criteria=read_criteria([]),
        labels=None,
        seed=0,
    )
    assert report["verdict"] == "inconclusive"
    assert "can read no answer" in report["note"]
    assert report["criteria"][0]["sentence"].startswith("Not measured")


def test_rows_whose_answer_cannot_be_read_are_left_out_and_counted():
    expected = ["7", "seven"] * 30
    report = build_report(
        Answers([""] * ROWS, expected, base=["0"] * ROWS, tuned=["7"] * ROWS),
        metric="number_match",
        criteria=read_criteria([]),
        labels=None,
        seed=0,
    )
    assert report["tuned"]["score"] == 1
    assert "30 of 60 rows are left out" in report["note"]


@pytest.mark.parametrize("metric", sorted(n for n, m in METRICS.items() if m.of_form))
def test_the_form_of_answers_alone_is_no_metric_of_a_model(metric):
    assert metric not in GRADING
    if not METRICS[metric].option and not METRICS[metric].less_is_better:
        assert "form" in objection_to_metric(metric, "classify", [])


@pytest.mark.parametrize(
    ("answer", "label"),
    [("caf\u00e9", "cafe\u0301"), ("Lost\u00a0card", "lost card"), ("lost  card ", "Lost card")],
)
def test_a_label_is_equal_however_its_accents_and_blanks_are_written(answer, label):
    assert build_scorer("exact_match", {}, [label]).score([answer], [label]) == 1
