"""A run's curves, read from the metrics events of its job.

A long run has tens of thousands of points, more than a screen can show. They are thinned in the
database: of each stretch of steps the lowest and the highest loss stay, and so do the first and the
last step. A step that was taken again after a resume counts as it was measured last."""

import json
import uuid
from dataclasses import dataclass
from typing import Any

from django.db import connection

MAX_POINTS = 500

# Only ids and numbers are sorted; what the chosen points hold besides is read at the end.
THINNED = """
WITH latest AS (
    SELECT DISTINCT ON (step) step, value, id FROM (
        SELECT (data->>'step')::int AS step, (data->>%(name)s)::float AS value, id, seq
        FROM core_jobevent WHERE job_id = %(job)s AND kind = 'metrics' AND data->>%(name)s <> ''
    ) AS points WHERE step > %(after)s ORDER BY step, seq DESC
), stretched AS (
    SELECT *, ntile(%(stretches)s) OVER (ORDER BY step) AS stretch,
        min(step) OVER () AS first, max(step) OVER () AS last
    FROM latest
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY stretch ORDER BY value, step) AS from_low,
        row_number() OVER (PARTITION BY stretch ORDER BY value DESC, step) AS from_high
    FROM stretched
), chosen AS (
    SELECT id, step FROM ranked WHERE from_low = 1 OR from_high = 1 OR step IN (first, last)
)
SELECT data FROM core_jobevent JOIN chosen USING (id) ORDER BY step
"""


@dataclass(frozen=True)
class Point:
    step: int
    loss: float | None = None
    valid_loss: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    memory_bytes: float | None = None


def points_of(job_id: uuid.UUID, *, after_step: int = -1) -> list[Point]:
    """At most 500 points of training, and as many of validation, by step."""
    points = {data["step"]: _point(data) for data in _thinned(job_id, "loss", after_step)}
    for data in _thinned(job_id, "valid_loss", after_step):
        points.setdefault(data["step"], Point(data["step"], valid_loss=data["valid_loss"]))
    return [points[step] for step in sorted(points)]


def _thinned(job_id: uuid.UUID, name: str, after_step: int) -> list[dict[str, Any]]:
    stretches = MAX_POINTS // 2 - 1
    wanted: dict[str, str | int]
    wanted = {"job": str(job_id), "name": name, "after": after_step, "stretches": stretches}
    with connection.cursor() as cursor:
        cursor.execute(THINNED, wanted)
        return [json.loads(data) for (data,) in cursor.fetchall()]


def _point(data: dict[str, Any]) -> Point:
    known = {name: data.get(name) for name in Point.__dataclass_fields__ if name != "step"}
    return Point(data["step"], **known)
