"""Who is answered next: a bounded queue, fair between owners. For one event loop. No Django."""

import asyncio
import math
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from models_app.serving.errors import ServingError

REMEMBERED_S = 300.0  # an owner seen so recently still has a place kept free
FIRST_GUESS_S = 2.0  # seconds that an answer takes, before any was measured
MOST_RETRY_S = 60


@dataclass(frozen=True)
class Limits:
    model_slots: int = 4  # answers at a time of one model: the slots of its engine
    total_slots: int = 16
    model_queue: int = 64
    total_queue: int = 256
    owner_queue: int = 64


@dataclass(eq=False)
class Ticket:
    model: str
    owner: str
    granted: "asyncio.Future[None]"
    began: float = 0.0
    is_over: bool = False


@dataclass
class Admission:
    """Owners take turns for each free slot. While others are about, none of them holds all slots of
    a model, or all of the server: the last one is kept for the next who comes.
    """

    limits: Limits = field(default_factory=Limits)
    _waiting: "deque[Ticket]" = field(default_factory=deque)
    _active: list[Ticket] = field(default_factory=list)
    _turns: dict[str, int] = field(default_factory=dict)  # owner: when it was last granted
    _seen: dict[tuple[str, str], float] = field(default_factory=dict)  # (model, owner): when
    _turn: int = 0
    _mean_s: float = FIRST_GUESS_S
    refused: Counter[str] = field(default_factory=Counter)

    async def enter(self, model: str, owner: str) -> Ticket:
        """Wait for a slot, ended with `leave`. Raise ServingError when the queue is full."""
        ticket = Ticket(model, owner, asyncio.get_running_loop().create_future())
        self._note(ticket)
        self._waiting.append(ticket)
        self._grant()
        if not ticket.granted.done():
            try:
                self._refuse_beyond_limits(ticket)
                await ticket.granted
            except BaseException:
                self.leave(ticket)
                raise
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Frees the slot, or the place in the queue; a second time it does nothing."""
        if ticket.is_over:
            return
        ticket.is_over = True
        if ticket in self._active:
            self._active.remove(ticket)
            self._mean_s += 0.1 * (time.monotonic() - ticket.began - self._mean_s)
        elif ticket in self._waiting:
            self._waiting.remove(ticket)
        self._grant()

    def facts(self) -> dict[str, Any]:
        return {
            "active": len(self._active),
            "waiting": len(self._waiting),
            "owners_waiting": len({ticket.owner for ticket in self._waiting}),
            "mean_seconds": round(self._mean_s, 3),
            "refused": dict(self.refused),
        }

    def _grant(self) -> None:
        while (ticket := self._next()) is not None:
            self._waiting.remove(ticket)
            self._active.append(ticket)
            ticket.began = time.monotonic()
            self._turn += 1
            self._turns[ticket.owner] = self._turn
            ticket.granted.set_result(None)

    def _next(self) -> Ticket | None:
        """Of those that may begin, the oldest of the owner whose last turn is longest ago."""
        free = [ticket for ticket in self._waiting if self._may_begin(ticket)]
        return min(free, key=lambda ticket: self._turns.get(ticket.owner, 0), default=None)

    def _may_begin(self, ticket: Ticket) -> bool:
        of_model = [each for each in self._active if each.model == ticket.model]
        if len(of_model) >= self.limits.model_slots:
            return False
        if len(self._active) >= self.limits.total_slots:
            return False
        own_of_model = sum(each.owner == ticket.owner for each in of_model)
        own = sum(each.owner == ticket.owner for each in self._active)
        share_of_model = self._share(self.limits.model_slots, ticket.owner, ticket.model)
        share = self._share(self.limits.total_slots, ticket.owner)
        return own_of_model < share_of_model and own < share

    def _share(self, slots: int, owner: str, model: str | None = None) -> int:
        seen = self._seen
        has_rivals = any(other != owner and model in (None, of) for of, other in seen)
        return max(1, slots - 1) if has_rivals else slots

    def _note(self, ticket: Ticket) -> None:
        now = time.monotonic()
        recent = {key: at for key, at in self._seen.items() if now - at < REMEMBERED_S}
        self._seen = recent | {(ticket.model, ticket.owner): now}
        owners = {owner for _, owner in self._seen}
        self._turns = {owner: turn for owner, turn in self._turns.items() if owner in owners}

    def _refuse_beyond_limits(self, ticket: Ticket) -> None:
        """Refuse what is beyond a limit. The ticket waits already: it is counted."""
        of_owner = sum(each.owner == ticket.owner for each in self._waiting)
        of_model = sum(each.model == ticket.model for each in self._waiting)
        if of_owner > self.limits.owner_queue:
            message = f"{of_owner - 1} of your requests are waiting already."
            raise self._refusal("rate_limit_exceeded", message, of_owner)
        if of_model > self.limits.model_queue or len(self._waiting) > self.limits.total_queue:
            raise self._refusal("server_busy", "Too many requests are waiting.", len(self._waiting))

    def _refusal(self, code: str, message: str, ahead: int) -> ServingError:
        self.refused[code] += 1
        seconds = math.ceil(ahead * self._mean_s / max(1, self.limits.total_slots))
        wait = min(MOST_RETRY_S, max(1, seconds))
        return ServingError(f"{message} Try again in {wait} seconds.", code=code, retry_after=wait)
