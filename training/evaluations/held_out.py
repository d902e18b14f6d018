"""What the held-out rows themselves can tell: whether a training row showed what they ask for, and
whether their own labels can be relied on.

Try it: pytest training/tests/evaluations/test_held_out.py
"""

from distillation.pipeline.coverage import TRIFLE, Coverage
from training.scoring import outcomes
from training.scoring.shapes import CriterionResult


def coverage_check(coverage: Coverage) -> list[CriterionResult]:
    """Return a check where something was never shown; beyond a trifle, nothing can be passed."""
    if not coverage.unseen:
        return []
    outcome = outcomes.PASS if coverage.is_enough else outcomes.INCONCLUSIVE
    advice = "" if coverage.is_enough else " Add training rows that have them."
    return [
        {
            "metric": "coverage",
            "of": "coverage",
            "op": ">=",
            "value": 1 - TRIFLE,
            "unit": "",
            "score": 1 - coverage.share,
            "tuned": {"score": 1 - coverage.share},
            "base": None,
            "live": None,
            "baseline": None,
            "rows": coverage.rows,
            "outcome": outcome,
            "passed": outcome == outcomes.PASS,
            "asked": "",
            "words": f"every {coverage.noun} of the held-out rows occurs in the training rows",
            "sentence": f"{coverage.sentence}{advice}",
        }
    ]


def doubtful_note(doubtful: int, rows: int) -> str:
    """Say how far the score may be off by labels of the held-out rows themselves."""
    if not doubtful:
        return ""
    have = "has" if doubtful == 1 else "have"
    return (
        f"{doubtful:,} of {rows:,} held-out rows ({doubtful / rows:.1%}) likely {have} a wrong "
        "label: rows like them have another. Scores may be off by as much."
    )
