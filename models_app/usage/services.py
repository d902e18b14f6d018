"""What an organisation used, added up by day, model or token."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, F, QuerySet, Sum, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, TruncDate
from django.utils import timezone

from accounts.models import Organization
from models_app.models import UsageRecord
from modelstation.core.errors import UserFacingError

DEFAULT_DAYS = 30
MOST_DAYS = 366
NO_TOKEN, PLAYGROUND = "deleted", "playground"
# How records are grouped; tokens of one name that are not the same stay apart.
GROUPS: dict[str, dict[str, Combinable]] = {
    "day": {"of_day": TruncDate("created_at", tzinfo=UTC)},
    "model": {"of_model": F("model")},
    "token": {
        "of_token": Case(
            When(is_playground=True, then=Value(PLAYGROUND)),
            default=Coalesce("token__name", Value(NO_TOKEN)),
        ),
        "of_token_id": F("token_id"),
    },
}
SUMS = {
    "requests": Count("id"),
    "prompt_tokens": Coalesce(Sum("prompt_tokens"), 0),
    "cached_tokens": Coalesce(Sum("cached_tokens"), 0),
    "completion_tokens": Coalesce(Sum("completion_tokens"), 0),
}


@dataclass(frozen=True)
class UsageRow:
    """Sums of a group, and what it is grouped by; the rest is None."""

    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    day: date | None = None
    model: str | None = None
    token: str | None = None
    token_id: UUID | None = None

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Period:
    """Whole days in UTC, both ends included."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.end == date.max:
            raise UserFacingError("The period has no end.", param="to")
        if self.start > self.end:
            raise UserFacingError("The period ends before it begins.", param="from")
        if self.end - self.start >= timedelta(days=MOST_DAYS):
            raise UserFacingError(f"A period has at most {MOST_DAYS} days.", param="from")

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        after = self.end + timedelta(days=1)
        return datetime.combine(self.start, time(), UTC), datetime.combine(after, time(), UTC)


def period_of(start: date | None, end: date | None) -> Period:
    """Fill in what is left out: until today, and 30 days in all."""
    end = end or max(timezone.now().astimezone(UTC).date(), start or date.min)
    try:
        return Period(start or end - timedelta(days=DEFAULT_DAYS - 1), end)
    except OverflowError:
        raise UserFacingError("There is no such period.", param="from") from None


def usage_by(org: Organization, period: Period, *groups: str) -> list[UsageRow]:
    """Return a row per group in which something was used, the newest day first."""
    columns = {name: column for group in groups for name, column in GROUPS[group].items()}
    order = [f"-{name}" if name == "of_day" else name for name in columns]
    rows = _records(org, period).values(**columns).annotate(**SUMS).order_by(*order)
    return [_row(row) for row in rows]


def usage_in_all(org: Organization, period: Period) -> UsageRow:
    return _row(_records(org, period).aggregate(**SUMS))


def _records(org: Organization, period: Period) -> QuerySet[UsageRecord]:
    start, end = period.bounds
    records: QuerySet[UsageRecord] = UsageRecord.objects.for_org(org)
    return records.filter(created_at__gte=start, created_at__lt=end)


def _row(columns: Mapping[str, Any]) -> UsageRow:
    return UsageRow(**{name.removeprefix("of_"): value for name, value in columns.items()})
