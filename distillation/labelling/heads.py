"""The head of a model's labelling: learned from stored vectors, its proposals stored beside them.

Torch-free and bounded, so that a web process may do it for a small set; a job does it for others.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from django.db import connection

from distillation.labelling.answers import AnswerForm, answer_form
from distillation.labelling.asking import asking_order
from distillation.labelling.encoding import unpacked
from distillation.labelling.estimate import NEEDED_ANSWERS, Estimate, TakeOver, estimate
from distillation.labelling.head import Floats, Head, Vectors, fit_head
from distillation.labelling.rows import Labelling, ModelInput
from models_app.models import CustomModel

State = ModelInput.State
RANKED = 100  # inputs in the order of asking; the next fit ranks anew
SPREAD_PER_LABEL = 2
STORE_PROPOSALS = f"""
    UPDATE {ModelInput._meta.db_table} AS row
    SET rank = new.rank, proposal = new.proposal, chance = new.chance,
        is_sure = new.is_sure, proposed_by = ''
    FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::float8[], %s::bool[])
        AS new (id, rank, proposal, chance, is_sure)
    WHERE row.id = new.id
"""
STORE_RANKS = f"""
    UPDATE {ModelInput._meta.db_table} AS row SET rank = new.rank, is_sure = false
    FROM unnest(%s::uuid[], %s::int[]) AS new (id, rank) WHERE row.id = new.id
"""


def fit(model: CustomModel) -> None:
    """Learn from all answers, propose for the rest, rank what to ask next, estimate."""
    level = Labelling.objects.values_list("level", flat=True).get(model=model)
    form = answer_form(model)
    rows = list(
        model.inputs.exclude(vector=None)
        .exclude(state=State.UNUSABLE)
        .values_list("id", "state", "answer", "vector")
        .order_by("position", "id")
    )
    if not rows:
        return
    vectors, states = unpacked(row[3] for row in rows), [row[1] for row in rows]
    known = [i for i, state in enumerate(states) if state in (State.ANSWERED, State.SEED)]
    answers = {i: rows[i][2] for i in known}
    own = [i for i, state in enumerate(states) if state != State.SEED]
    head = _head(vectors, states, answers) if form.is_classified else None
    chances = None if head is None else head.probabilities(vectors)
    order = _order(vectors, states, own, chances, form)
    ranks = {rows[i][0]: rank for rank, i in enumerate(order)}
    waiting = [i for i in own if states[i] == State.OPEN]
    if head is None or chances is None:
        _store_ranks([rows[i][0] for i in waiting], ranks)
        facts: dict[str, Any] = {}
    else:
        given = [answers[i] for i in known if states[i] == State.ANSWERED]
        result = estimate(head, given, chances[waiting], level)
        _store(head, [rows[i][0] for i in waiting], chances[waiting], ranks, result)
        facts = _facts(result, len(given))
    facts["decided"] = _decided(states)
    Labelling.objects.filter(model=model).update(estimate=facts)


def _decided(states: Sequence[str]) -> int:
    return sum(state in (State.ANSWERED, State.SKIPPED) for state in states)


def _head(vectors: Vectors, states: Sequence[str], answers: dict[int, str]) -> Head | None:
    given = [i for i in answers if states[i] == State.ANSWERED]
    seeds = [i for i in answers if states[i] == State.SEED]
    return fit_head(
        vectors[given], [answers[i] for i in given], vectors[seeds], [answers[i] for i in seeds]
    )


def _order(
    vectors: Vectors,
    states: Sequence[str],
    own: Sequence[int],
    chances: Floats | None,
    form: AnswerForm,
) -> list[int]:
    """Positions in `vectors`, the first to ask first. What was skipped counts as asked."""
    asked = [at for at, i in enumerate(own) if states[i] != State.OPEN]
    spread = SPREAD_PER_LABEL * len(form.labels) if form.is_classified else 0
    order = asking_order(
        vectors[own], asked, None if chances is None else chances[own], RANKED, spread_first=spread
    )
    return [own[at] for at in order]


def _store_ranks(ids: Sequence[Any], ranks: dict[Any, int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(STORE_RANKS, [list(ids), [ranks.get(i) for i in ids]])


def _store(
    head: Head, ids: Sequence[Any], chances: Floats, ranks: dict[Any, int], result: Estimate | None
) -> None:
    proposals = [head.labels[i] for i in chances.argmax(axis=1)] if len(ids) else []
    sure = chances.max(axis=1, initial=0) if result is None else result.chances
    wanted = [ranks.get(i) for i in ids]
    surest = set() if result is None else set(result.take_over.rows)
    is_sure = [at in surest for at in range(len(ids))]
    values = [list(ids), wanted, proposals, np.asarray(sure).tolist(), is_sure]
    with connection.cursor() as cursor:
        cursor.execute(STORE_PROPOSALS, values)


def _facts(result: Estimate | None, answers: int) -> dict[str, Any]:
    """What the page says of the head."""
    if result is None:
        reason = f"An estimate needs {NEEDED_ANSWERS} answers; there are {answers}."
        return {"taken": 0, "reason": reason}
    over: TakeOver = result.take_over
    return {
        "accuracy": asdict(result.accuracy),
        "taken": len(over.rows),
        "error": None if over.error is None else asdict(over.error),
        "left_out": over.left_out,
        "reason": over.reason,
    }
