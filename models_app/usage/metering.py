"""What the API lets through, and what it counts. Counters are rows, so that they hold over all web
processes; a limit of 0 is none."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection

from accounts.models import ApiToken, Organization
from models_app.gateway.model_resolver import Served
from models_app.models import UsageCounter, UsageLimit
from models_app.serving.client import Completion
from modelstation.core.errors import TooMany
from modelstation.core.lookups import Lookup
from modelstation.core.tenancy import new_id

logger = logging.getLogger("modelstation.usage")
MINUTE, DAY = 60, 86_400
TOKENS_KEY = "tokens:org:{}"  # of the counter of an organisation's tokens of a day

_OWN_LIMIT = Lookup(
    lambda: UsageLimit.objects.filter(org=UUID(int=0)),
    ("id", "requests_per_minute", "tokens_per_day"),
)
# Each is one statement, in which nobody can come between, and which the ORM would write for longer
# than Postgres takes to run it. set_config: no answer waits for the disk; a crash of the database
# loses what was counted in its last half second.
#
# A new window begins at zero in the same row.
_COUNT = """
INSERT INTO models_app_usagecounter AS counter (key, "window", count)
SELECT given.key, given.win, given.n
FROM unnest(%(keys)s::text[], %(windows)s::bigint[], %(numbers)s::bigint[]) AS given (key, win, n)
CROSS JOIN set_config('synchronous_commit', 'off', true)
ON CONFLICT (key) DO UPDATE SET
  count = excluded.count
    + CASE WHEN counter."window" = excluded."window" THEN counter.count ELSE 0 END,
  "window" = excluded."window"
RETURNING key, count
"""
_RECORD = f"""
WITH record AS (
  INSERT INTO models_app_usagerecord (
    id, org_id, created_at, model, version_id, token_id, is_playground,
    prompt_tokens, cached_tokens, completion_tokens, milliseconds
  ) VALUES (
    %(id)s, %(org)s, clock_timestamp(), %(model)s, %(version)s, %(token)s, %(is_playground)s,
    %(prompt_tokens)s, %(cached_tokens)s, %(completion_tokens)s, %(milliseconds)s
  )
)
{_COUNT}
"""


class LimitReached(TooMany):
    """`retry_after` and the headers of OpenAI's clients go with the answer."""

    def __init__(self, message: str, *, code: str, retry_after: int, allowance: "Allowance"):
        super().__init__(message, code=code)
        self.retry_after = retry_after
        self.allowance = allowance


@dataclass(frozen=True)
class Gauge:
    """One limit, and how much of it is left in the window that ends in `reset` seconds."""

    limit: int
    used: int
    reset: int

    @property
    def left(self) -> int:
        return max(0, self.limit - self.used)


@dataclass
class Allowance:
    requests: Gauge | None = None  # the tighter of the token's and the organisation's
    tokens: Gauge | None = None

    def headers(self) -> dict[str, str]:
        headers = {}
        for name, gauge in (("requests", self.requests), ("tokens", self.tokens)):
            if gauge is not None:
                headers[f"x-ratelimit-limit-{name}"] = str(gauge.limit)
                headers[f"x-ratelimit-remaining-{name}"] = str(gauge.left)
                headers[f"x-ratelimit-reset-{name}"] = f"{gauge.reset}s"
        return headers


def admit(token: ApiToken) -> Allowance:
    """Count a request; raises LimitReached when it is one too many."""
    now = int(time.time())
    per_minute, per_day = _limits_of(token.org)
    allowance = Allowance(tokens=_tokens_left(token.org, per_day, now))
    allowance.requests = _count_request(token, per_minute, now)
    if allowance.requests and allowance.requests.used > allowance.requests.limit:
        raise LimitReached(
            f"Rate limit reached: {allowance.requests.limit:,} requests a minute.",
            code="rate_limit_exceeded",
            retry_after=allowance.requests.reset,
            allowance=allowance,
        )
    return allowance


def _limits_of(org: Organization) -> tuple[int, int]:
    """Return requests a minute and tokens a day of the organisation."""
    minute = settings.REQUESTS_PER_MINUTE_PER_ORGANIZATION
    day = settings.TOKENS_PER_DAY_PER_ORGANIZATION
    if own := _OWN_LIMIT.first(org.pk):
        minute = minute if own.requests_per_minute is None else own.requests_per_minute
        day = day if own.tokens_per_day is None else own.tokens_per_day
    return minute, day


def _tokens_left(org: Organization, limit: int, now: int) -> Gauge | None:
    """Raise LimitReached when those of today are used up; None where there is no limit."""
    if not limit:
        return None
    today = UsageCounter.objects.filter(key=TOKENS_KEY.format(org.pk), window=now // DAY)
    used = today.values_list("count", flat=True).first() or 0
    tokens = Gauge(limit, used, reset=DAY - now % DAY)
    if not tokens.left:
        raise LimitReached(
            f"The organisation has used its {limit:,} tokens of today, by the API and in the "
            "playground. More are to be had after midnight UTC; an operator can raise the quota.",
            code="insufficient_quota",
            retry_after=tokens.reset,
            allowance=Allowance(tokens=tokens),
        )
    return tokens


def _count_request(token: ApiToken, per_organization: int, now: int) -> Gauge | None:
    limits = {
        f"requests:token:{token.pk}": settings.REQUESTS_PER_MINUTE_PER_TOKEN,
        f"requests:org:{token.org_id}": per_organization,
    }
    counted = [key for key, limit in limits.items() if limit]
    if not counted:
        return None
    used = _run(_COUNT, _amounts(dict.fromkeys(counted, 1), now // MINUTE))
    gauges = [Gauge(limits[key], used[key], reset=MINUTE - now % MINUTE) for key in counted]
    return min(gauges, key=lambda gauge: gauge.limit - gauge.used)


def _amounts(amounts: dict[str, int], window: int) -> dict[str, list[str] | list[int]]:
    """To be added to the counters."""
    keys, numbers = list(amounts), list(amounts.values())
    return {"keys": keys, "windows": [window] * len(keys), "numbers": numbers}


def _run(statement: str, parameters: Mapping[str, Any]) -> dict[str, int]:
    """Return what the counters stand at."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return dict(cursor.fetchall())


# --- What was used --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Meter:
    """Of one request, whatever number of answers it asks for."""

    served: Served
    token: ApiToken
    started: float = field(default_factory=time.monotonic)

    def record(self, used: Completion) -> None:
        version = self.served.version
        record_usage(
            org_id=self.token.org_id,
            model=_counted_as(self.served),
            version_id=version.id if version else None,
            token_id=self.token.id,
            used=used,
            milliseconds=round(1000 * (time.monotonic() - self.started)),
        )


def check_quota(org: Organization) -> None:
    """Raise LimitReached when today's tokens are used up: for the playground."""
    _tokens_left(org, _limits_of(org)[1], int(time.time()))


def record_usage(
    *,
    org_id: UUID,
    model: str,
    version_id: UUID | None,
    used: Completion,
    milliseconds: int,
    token_id: UUID | None = None,
    is_playground: bool = False,
) -> None:
    """Count an answer, even if the version or the token behind it is gone meanwhile."""
    facts = {
        "id": new_id(),
        "org": org_id,
        "model": model,
        "is_playground": is_playground,
        "prompt_tokens": used.prompt_tokens,
        "cached_tokens": used.cached_tokens,
        "completion_tokens": used.completion_tokens,
        "milliseconds": milliseconds,
    }
    tokens = used.prompt_tokens + used.completion_tokens
    today = _amounts({TOKENS_KEY.format(org_id): tokens}, int(time.time()) // DAY)
    for references in (
        {"version": version_id, "token": token_id},
        {"version": None, "token": None},
    ):
        try:
            _run(_RECORD, {**facts, **today, **references})
            return
        except IntegrityError:
            logger.info("the model, token or organisation behind an answer is gone")


def total(completions: Sequence[Completion], choices: int = 1) -> Completion:
    """Of several answers, `choices` to each prompt: a prompt counts once, as in OpenAI's usage."""
    prompts = completions[::choices]
    return Completion(
        text="",
        prompt_tokens=sum(each.prompt_tokens for each in prompts),
        completion_tokens=sum(each.completion_tokens for each in completions),
        finish_reason="stop",
        cached_tokens=sum(each.cached_tokens for each in prompts),
    )


def _counted_as(served: Served) -> str:
    """Return the slug of the model, whichever of its names was called."""
    if served.version is None or ":" not in served.name:
        return served.name[:80]
    return str(served.version.model.slug)
