"""Whether anything independent agrees with a row: answers given anew, verdicts, and a linear head
trained on the other rows. No Django inside.

One objection alone refuses nothing: a row is asked about again. It goes when repeated answers agree
with each other against it, when a judge says three times that it is wrong, when two
kinds of checks object, or when the head of a classification is surest of all rows that it is wrong.
The head may refuse no more than HEAD_SHARE of the rows: a hard task keeps its border cases.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import sparse

from distillation.pipeline.text import normalise, words
from distillation.pipeline.types import Vectors
from distillation.pipeline.understand.labels import label_key
from distillation.pipeline.understand.task_kind import json_object
from distillation.teachers.filtering.executed import same_rows
from distillation.teachers.filtering.rows import TaughtRow

OTHER_ANSWER = "other answers were given to its input"
JUDGED_WRONG = "judged wrong again and again"
OBJECTIONS = "two checks object"
HEAD_OBJECTS = "the rows around it have another answer"
UNCHECKED = "not checked: the budget was spent"

HEAD_SHARE = 0.05  # of rows that the head may refuse
HEAD_RATIO = 0.6  # of the probability of its answer to that of the likeliest: below, it objects
LEAST_ROWS, LEAST_OF_A_CLASS, FOLDS = 40, 5, 5
SAME_WORDS = 0.6  # F1 of two texts that say the same
JUDGED = 3
Embed = Callable[[Sequence[str]], Vectors]


def same_answer(kind: str, one: str, other: str, given: str = "") -> bool:
    """Whether two answers to the input say the same; SQL is executed where the input has tables."""
    if kind == "classify":
        return label_key(one) == label_key(other)
    if kind == "extract_json":
        return json_object(one) is not None and json_object(one) == json_object(other)
    if normalise(one) == normalise(other):
        return True
    if kind == "sql" and (same := same_rows(given, one, other)) is not None:
        return same
    ours, theirs = Counter(words(one)), Counter(words(other))
    shared = (ours & theirs).total()
    return 2 * shared >= SAME_WORDS * max(1, ours.total() + theirs.total())


def is_contested(row: TaughtRow) -> bool:
    """Whether it is worth another look: one of the checks objects, and it is not settled."""
    if not row.is_kept or len(row.again) >= JUDGED or len(row.verdicts) >= JUDGED:
        return False
    return (bool(row.again) and not any(row.again)) or (
        bool(row.verdicts) and not any(row.verdicts)
    )


def settle(rows: Sequence[TaughtRow], kind: str, embed: Embed) -> None:
    """Refuse the kept rows that too much speaks against; state what spoke for the others."""
    kept = [row for row in rows if row.is_kept]
    ratios = head_ratios(kept, kind, embed)
    before = sum(row.refusal == HEAD_OBJECTS for row in rows)
    if kind == "classify":  # of facts, the head knows no more than that a field is empty: a doubt
        _refuse_by_head(kept, ratios, int(HEAD_SHARE * (len(kept) + before)) - before)
    for row, ratio in zip(kept, ratios, strict=True):
        if row.is_kept:
            _settle_one(row, ratio)


def _settle_one(row: TaughtRow, ratio: float | None) -> None:
    again = bool(row.again) and not any(row.again)
    judged = bool(row.verdicts) and not any(row.verdicts)
    head = ratio is not None and ratio < HEAD_RATIO
    objections = (
        again and len(row.again) > 1,
        judged and len(row.verdicts) > 1,
        head or row.is_unusual,
    )
    if again and len(row.again) >= JUDGED:
        row.refuse(OTHER_ANSWER)
    elif judged and len(row.verdicts) >= JUDGED:
        row.refuse(JUDGED_WRONG)
    elif sum(objections) > 1:
        row.refuse(OBJECTIONS)
    elif not (any(row.again) or any(row.verdicts) or (ratio is not None and not head)):
        row.refuse(UNCHECKED)
    if row.is_kept:
        spoke = {"repeated answer": any(row.again), "verdict": any(row.verdicts)}
        row.checked_by = [name for name, agrees in spoke.items() if agrees]
        row.checked_by += ["linear head"] if ratio is not None and not head else []
        votes = [*row.again, *row.verdicts]
        row.confidence = round((1 + sum(votes)) / (2 + len(votes)), 2)


def _refuse_by_head(rows: Sequence[TaughtRow], ratios: Sequence[float | None], most: int) -> None:
    """The rows that it doubts most, up to its share of all."""
    doubted = sorted(
        (ratio, index)
        for index, ratio in enumerate(ratios)
        if ratio is not None and ratio < HEAD_RATIO
    )
    for _, index in doubted[: max(0, most)]:
        rows[index].refuse(HEAD_OBJECTS)


# --- the linear head ------------------------------------------------------------------------------


def head_ratios(rows: Sequence[TaughtRow], kind: str, embed: Embed) -> list[float | None]:
    """For each row how likely its answer is beside the likeliest one, by a head that was trained on
    the other rows; None where it cannot say. Of several questions (is this field empty?) the one
    that speaks most against the row counts.
    """
    result: list[float | None] = [None] * len(rows)
    if len(rows) < LEAST_ROWS:
        return result
    features: sparse.csr_matrix | None = None
    for answers in _questions(rows, kind):
        usable = _usable(answers)
        if len(usable) < LEAST_ROWS or len({answers[i] for i in usable}) < 2:
            continue
        if features is None:
            features = _features([row.input for row in rows], embed)
        ratios = _cross_validated(features[usable], [answers[i] for i in usable])
        for index, ratio in zip(usable, ratios, strict=True):
            known = result[index]
            result[index] = float(ratio) if known is None else min(known, float(ratio))
    return result


def _questions(rows: Sequence[TaughtRow], kind: str) -> Iterator[list[str]]:
    if kind == "classify":
        yield [label_key(row.output) for row in rows]
    elif kind == "extract_json":
        values = [json_object(row.output) or {} for row in rows]
        for key in sorted({key for value in values for key in value}):
            yield [str(value.get(key) not in (None, "", [], {})) for value in values]


def _usable(answers: Sequence[str]) -> list[int]:
    counts = Counter(answers)
    return [i for i, answer in enumerate(answers) if counts[answer] >= LEAST_OF_A_CLASS]


def _features(texts: Sequence[str], embed: Embed) -> sparse.csr_matrix:
    from sklearn.feature_extraction.text import TfidfVectorizer

    lexical = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=20_000)
    return sparse.hstack([sparse.csr_matrix(embed(texts)), lexical.fit_transform(texts)]).tocsr()


def _cross_validated(features: sparse.csr_matrix, answers: Sequence[str]) -> Vectors:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    classes, given = np.unique(answers, return_inverse=True)
    head = LogisticRegression(C=3.0, max_iter=500, class_weight="balanced")
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    likely = cross_val_predict(head, features, given, cv=folds, method="predict_proba")
    ratios: Vectors = likely[np.arange(len(given)), given] / likely.max(axis=1)
    return ratios
