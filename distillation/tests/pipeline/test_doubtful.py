import numpy as np

from distillation.pipeline.doubtful import check_labels

LABELS = ("Lost card", "Top up", "Exchange")


def rows(count=150, noise=0.15, seed=0):
    """Vectors around one direction for each label."""
    rng = np.random.default_rng(seed)
    own = np.arange(count) % len(LABELS)
    vectors = np.eye(8)[own] + noise * rng.normal(size=(count, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), [LABELS[i] for i in own]


def planted(answers, wrong):
    return [LABELS[(i + 1) % 3] if i in wrong else answer for i, answer in enumerate(answers)]


def every(answers):
    return np.ones(len(answers), dtype=bool)


def test_planted_labels_are_found_with_the_right_one_in_its_spelling():
    vectors, answers = rows()
    wrong = set(range(0, 150, 17))
    given = planted(answers, wrong)
    check = check_labels(vectors, given, every(given))
    assert check.doubts.items() <= {i: answers[i] for i in wrong}.items()
    assert len(check.doubts) >= len(wrong) - 1


def test_clean_rows_are_left_alone():
    vectors, answers = rows()
    assert check_labels(vectors, answers, every(answers)).doubts == {}


def test_what_a_person_wrote_is_learned_from_and_never_doubted():
    vectors, answers = rows()
    given = planted(answers, {0, 1})
    judged = every(given)
    judged[0] = False
    assert set(check_labels(vectors, given, judged).doubts) == {1}


def test_held_out_rows_are_judged_by_the_head_of_the_others():
    vectors, answers = rows()
    check = check_labels(vectors, answers, every(answers))
    others, right = rows(30, seed=1)
    given = ["never seen", *planted(right, {4})[1:]]
    assert check.of_others(others, given) == {4: right[4]}


def test_a_head_that_is_wrong_on_most_rows_judges_nothing():
    vectors, answers = rows(noise=3.0)
    given = planted(answers, {0, 1, 2})
    check = check_labels(vectors, given, every(given))
    assert (check.doubts, check.of_others(vectors, given)) == ({}, {})


def test_few_rows_or_few_of_a_label_are_not_judged():
    vectors, answers = rows(40)
    assert check_labels(vectors, answers, every(answers)).head is None
    vectors, answers = rows()
    given = ["rare", *answers[1:]]
    assert 0 not in check_labels(vectors, given, every(given)).doubts


def test_more_rows_than_fit_at_once_are_judged_in_parts(monkeypatch):
    monkeypatch.setattr("distillation.pipeline.doubtful.ROWS_AT_ONCE", 100)
    vectors, answers = rows(301)
    given = planted(answers, {5, 100, 300})
    assert set(check_labels(vectors, given, every(given)).doubts) == {5, 100, 300}
