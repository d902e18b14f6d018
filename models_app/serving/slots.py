"""The slots of llama.cpp, each with a cache of its own, and which prompt prefix each one holds."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Slot:
    id: int
    prefix: tuple[int, ...] = ()  # computed alone, so that it is the same bits every time


class Slots:
    """Thread-safe. Who finds none free waits."""

    def __init__(self, count: int) -> None:
        self._free = [Slot(number) for number in range(count)]
        self._freed = threading.Condition()

    @contextmanager
    def take(self, prefix: Sequence[int] = ()) -> Iterator[Slot]:
        """One that holds this prefix where there is one, else the one unused for longest."""
        with self._freed:
            self._freed.wait_for(lambda: self._free)
            wanted = tuple(prefix)
            slot = next((each for each in self._free if each.prefix == wanted), self._free[0])
            self._free.remove(slot)
        try:
            yield slot
        finally:
            with self._freed:
                self._free.append(slot)
                self._freed.notify()
