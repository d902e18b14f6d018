"""Something simpler answers the same rows, and a model that loses to it never passes."""

import random

import pytest

from training.encoder.labels import objection_to_labels
from training.evaluations.rivals import MOST_ROWS, examples_for, rivals_of
from training.scoring import criteria
from training.scoring.criterion import NOT_WORSE_THAN_RIVAL
from training.scoring.report import Answers, build_report

WORDS = {
    "billing": ["invoice", "charged twice", "refund", "payment", "receipt"],
    "login": ["password", "locked out", "sign in", "code by mail", "account"],
    "delivery": ["parcel", "late", "courier", "address", "tracking"],
}


def rows(count, seed):
    rng = random.Random(seed)
    labels = [rng.choice(sorted(WORDS)) for _ in range(count)]
    opening = ["Hello,", "Hi there,", "Please help:", "Again"]
    return [
        (f"{rng.choice(opening)} it is about my {' and '.join(rng.sample(WORDS[one], 2))}", one)
        for one in labels
    ]


@pytest.fixture(scope="module")
def measured():
    train, test = rows(120, 1), rows(80, 2)
    return test, rivals_of(train, [text for text, _ in test])


def report_on(measured, tuned, written=()):
    test, rivals = measured
    references = [label for _, label in test]
    compiled = criteria.compile_contract(written, metric="exact_match", labels=sorted(WORDS))
    return build_report(
        Answers(
            [text for text, _ in test],
            references,
            base=["?"] * len(test),
            tuned=tuned(references),
            rivals=rivals,
        ),
        metric="exact_match",
        criteria=compiled.criteria(),
        labels=sorted(WORDS),
        seed=0,
    )


def mostly_right(references):
    """Seven of ten, far above a base that is never right."""
    return [one if n % 10 < 7 else "login" for n, one in enumerate(references)]


def test_each_learns_the_labels_from_the_same_rows(measured):
    test, rivals = measured
    references = [label for _, label in test]
    shares = {
        each.name: sum(a == b for a, b in zip(each.texts, references, strict=True)) / len(test)
        for each in rivals
    }
    assert len(shares) == 4
    assert all(share > 0.9 for share in shares.values())
    assert all(each.milliseconds > 0 and each.size_mb > 0 for each in rivals)


def test_a_model_that_loses_to_something_simpler_is_inconclusive_at_best(measured):
    report = report_on(measured, mostly_right)
    check = next(c for c in report["criteria"] if c["metric"] == NOT_WORSE_THAN_RIVAL)
    assert check["outcome"] == report["verdict"] == "inconclusive"
    assert report["rivals"][0]["name"] in check["sentence"]
    assert report["rivals"][0]["difference"]["high"] < 0


def test_a_model_as_good_as_the_best_of_them_passes(measured):
    assert report_on(measured, lambda references: references)["verdict"] == "pass"


def test_the_check_is_removed_by_its_name_and_the_table_stays(measured):
    report = report_on(measured, mostly_right, ["Without not_worse_than_rival."])
    assert report["verdict"] == "pass"
    assert report["unread_criteria"] == []
    assert len(report["rivals"]) == 4


def test_without_the_rows_of_the_training_it_is_said_not_to_be_measured(measured):
    report = report_on((measured[0], None), lambda references: references)
    check = next(c for c in report["criteria"] if c["metric"] == NOT_WORSE_THAN_RIVAL)
    assert check["outcome"] == "inconclusive"
    assert check["sentence"].startswith("Not measured")


def test_for_written_answers_the_nearest_rows_answer_is_the_rival():
    train = [(f"Write about {word}", f"A long text on {word}.") for word in WORDS["billing"]]
    [nearest] = rivals_of(train, ["Write something about an invoice"])
    assert nearest.texts == ["A long text on invoice."]
    assert objection_to_labels([answer for _, answer in train])
    assert len(examples_for(train)) == 4


def test_of_very_many_rows_some_spread_over_all_are_taken_and_it_is_said(monkeypatch):
    monkeypatch.setattr("training.evaluations.rivals.MOST_ROWS", 50)
    assert MOST_ROWS > 50
    tfidf = rivals_of(rows(500, 3), ["about my parcel"])[1]
    assert tfidf.texts == ["delivery"]
    assert tfidf.name.endswith(", on 50 of 500 rows")


def test_of_very_many_labels_so_few_rows_are_taken_that_it_takes_no_more_than_minutes(monkeypatch):
    monkeypatch.setattr("training.evaluations.rivals.MOST_WORK", 300)  # a hundred rows, 3 labels
    assert rivals_of(rows(400, 3), ["about my parcel"])[1].name.endswith(", on 100 of 400 rows")
