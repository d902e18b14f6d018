"""What teachers did for the rows of a dataset, as its card says it."""

import uuid
from collections.abc import Iterable
from decimal import Decimal

from distillation.models import TeacherRun
from distillation.pipeline.card import CardTeacher


def teachers_of(source_ids: Iterable[str]) -> list[CardTeacher]:
    """One line for each model, its currency and its terms, of the runs that gave these sources."""
    wanted = [uuid.UUID(source) for source in set(source_ids) if source]
    runs: dict[tuple[str, str, str], list[TeacherRun]] = {}
    for run in TeacherRun.objects.filter(source__in=wanted).order_by("created_at"):
        runs.setdefault((run.teacher_name, run.currency, run.terms), []).append(run)
    return [
        CardTeacher(
            name,
            ", ".join(dict.fromkeys(run.action for run in those)),
            f"{sum((run.spent['cost'] for run in those), Decimal(0)):.4f} {currency}",
            terms,
        )
        for (name, currency, terms), those in runs.items()
    ]
