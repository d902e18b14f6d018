"""Whose turn it is: a model's slots, shared fairly among the organisations that ask for them.

python -m pytest models_app/serving/tests/test_fairness.py
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable

from models_app.serving.engine import ServingError

Turn = asyncio.Future[None]


class FairQueue:
    """For one event loop. A free slot goes to the waiting owner that holds fewest, among equals to
    the one that waits longest for a turn; an owner's own requests keep their order.

    A queue that is full refuses at once, and one owner can fill but half of it.
    """

    def __init__(self, slots: int, max_waiting: int = 64) -> None:
        self._free = slots
        self._max_waiting = max_waiting
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[Turn]] = {}
        self._turns = 0
        self._last_turn: dict[str, int] = {}

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    @property
    def running(self) -> int:
        return self._held.total()

    async def enter(self, owner: str) -> Callable[[], None]:
        """Returns when a slot is this owner's; what it returns gives the slot back."""
        if self._free and not self._waiting:
            self._take(owner)
        else:
            await self._wait(owner)
        return self._leaver(owner)

    async def _wait(self, owner: str) -> None:
        line = self._waiting.get(owner, deque())
        if self.waiting >= self._max_waiting or len(line) >= max(1, self._max_waiting // 2):
            raise ServingError(
                "This model has more requests than it can answer. Try again shortly.",
                code="rate_limit_exceeded",
            )
        turn: Turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, line).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # given in the moment the client left
                self._give_back(owner)
            else:
                self._forget(owner, turn)
            raise

    def _take(self, owner: str) -> None:
        self._free -= 1
        self._held[owner] += 1
        self._turns += 1
        self._last_turn[owner] = self._turns

    def _leaver(self, owner: str) -> Callable[[], None]:
        left = False

        def leave() -> None:
            nonlocal left
            if not left:
                left = True
                self._give_back(owner)

        return leave

    def _give_back(self, owner: str) -> None:
        self._free += 1
        self._held -= Counter([owner])
        while self._free and self._waiting:
            owner = min(self._waiting, key=lambda name: (self._held[name], self._last(name)))
            turn = self._waiting[owner].popleft()
            if not self._waiting[owner]:
                del self._waiting[owner]
            if not turn.done():  # else its client has just left
                self._take(owner)
                turn.set_result(None)

    def _last(self, owner: str) -> int:
        return self._last_turn.get(owner, 0)

    def _forget(self, owner: str, turn: Turn) -> None:
        line = self._waiting.get(owner)
        if line and turn in line:
            line.remove(turn)
            if not line:
                del self._waiting[owner]
