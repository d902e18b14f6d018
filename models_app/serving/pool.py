"""The loaded models: the most recently used stay, within a number of engines and of bytes."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models_app.serving.engine import Engine, ServingError

Key = tuple[Path, Path]
MEMORY = Path("/proc/self/statm")


@dataclass
class _Slot:
    """A place in the pool; its engine is None while it is being loaded."""

    stamp: tuple[int, int]
    bytes: int
    engine: Engine | None = None
    users: int = 0
    instead_of: list["_Slot"] = field(default_factory=list)  # closed before this one is loaded


class EnginePool:
    """Thread-safe. An engine in use is never closed; a request that finds no room waits for it.

    While one model is loaded the others go on answering. Requests that meet for a model that is not
    loaded load it once.
    """

    def __init__(
        self,
        *,
        max_engines: int = 8,
        max_bytes: int = 4 * 2**30,
        patience_s: float = 60,
        make: Callable[[Path, Path], Engine] = Engine,
    ) -> None:
        self._max_engines = max_engines
        self._max_bytes = max_bytes
        self._patience_s = patience_s
        self._make = make
        self._slots: OrderedDict[Key, _Slot] = OrderedDict()
        self._changed = threading.Condition()
        # One at a time: what a model takes is measured, and two would be measured as one.
        self._loading = threading.Lock()

    @contextmanager
    def engine(self, gguf: Path, tokenizer_folder: Path) -> Iterator[Engine]:
        """The engine for this file, loaded where it is not; kept loaded for the block."""
        slot = self._enter((gguf, tokenizer_folder))
        try:
            assert slot.engine is not None
            yield slot.engine
        finally:
            with self._changed:
                slot.users -= 1
                self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            slots = list(self._slots.values())
            self._slots.clear()
        _close(slots)

    def facts(self) -> dict[str, Any]:
        with self._changed:
            models = [
                {"model": str(gguf), "bytes": slot.bytes, "in_use": slot.users}
                for (gguf, _), slot in self._slots.items()
            ]
        return {
            "engines": len(models),
            "bytes": sum(model["bytes"] for model in models),
            "max_bytes": self._max_bytes,
            "models": models,
        }

    def __len__(self) -> int:
        return len(self._slots)

    def _enter(self, key: Key) -> _Slot:
        stamp, size = _look(key[0])
        with self._changed:
            ready = self._changed.wait_for(
                lambda: self._is_ready(key, stamp) or self._reserve(key, stamp, size),
                self._patience_s,
            )
            if not ready:
                raise ServingError(
                    "All loaded models are busy. Try again shortly.",
                    code="model_server_unavailable",
                )
            slot = self._slots[key]
            self._slots.move_to_end(key)
            slot.users += 1
        if slot.engine is None:
            self._load(key, slot)
        return slot

    def _is_ready(self, key: Key, stamp: tuple[int, int]) -> bool:
        """A file that was replaced is another model."""
        slot = self._slots.get(key)
        return slot is not None and slot.engine is not None and slot.stamp == stamp

    def _reserve(self, key: Key, stamp: tuple[int, int], size: int) -> bool:
        """Takes a place for a model to be loaded; False while it is being loaded by another, or
        there is no room.
        """
        held = self._slots.get(key)
        if held is not None and (held.engine is None or held.users):
            return False
        stale = [key] if held else []
        victims, fits = self._victims(size, stale)
        if fits:
            closing = [self._slots.pop(victim) for victim in victims]
            self._slots[key] = _Slot(stamp, size, instead_of=closing)
        return fits

    def _victims(self, size: int, stale: Sequence[Key] = ()) -> tuple[list[Key], bool]:
        """Idle models whose end makes room for `size` bytes, least recently used first, and whether
        it is enough. One model alone always fits.
        """
        victims = list(stale)
        left = {key: slot.bytes for key, slot in self._slots.items() if key not in victims}
        for key, slot in self._slots.items():
            if self._fits(left, size):
                break
            if key in left and slot.users == 0 and slot.engine is not None:
                victims.append(key)
                del left[key]
        return victims, self._fits(left, size)

    def _fits(self, left: dict[Key, int], size: int) -> bool:
        return not left or (
            len(left) < self._max_engines and sum(left.values()) + size <= self._max_bytes
        )

    def _load(self, key: Key, slot: _Slot) -> None:
        try:
            with self._loading:
                _close(slot.instead_of)
                before = _resident()
                engine = self._make(*key)
                taken = max(slot.bytes, _resident() - before)
        except BaseException:
            with self._changed:
                del self._slots[key]
                self._changed.notify_all()
            raise
        with self._changed:
            slot.engine, slot.bytes, slot.instead_of = engine, taken, []
            excess = [self._slots.pop(victim) for victim in self._excess()]
            self._changed.notify_all()
        _close(excess)

    def _excess(self) -> list[Key]:
        """To be closed because a model took more than its file foretold."""
        others = {key: slot.bytes for key, slot in self._slots.items()}
        excess = []
        for key, slot in self._slots.items():
            if sum(others.values()) > self._max_bytes and not slot.users and slot.engine:
                excess.append(key)
                del others[key]
        return excess


def _look(gguf: Path) -> tuple[tuple[int, int], int]:
    """What tells one file from its successor, and its size."""
    if not gguf.is_file():
        return (0, 0), 0
    found = gguf.stat()
    return (found.st_mtime_ns, found.st_size), found.st_size


def _close(slots: list[_Slot]) -> None:
    for slot in slots:
        if slot.engine is not None:
            slot.engine.close()
            slot.engine = None


def _resident() -> int:
    """Bytes of this process in memory; 0 where the system does not tell."""
    try:
        return int(MEMORY.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
