"""The loaded models: the most recently used stay, within a number of engines and of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models_app.serving.engine import Engine, ServingError


@dataclass
class _Loaded:
    engine: Engine
    bytes: int
    users: int = 0


class EnginePool:
    """Thread-safe. An engine in use is never closed; a request that finds no room waits for it."""

    def __init__(
        self,
        *,
        max_engines: int = 4,
        max_bytes: int = 4 * 2**30,
        patience_s: float = 60,
        make: Callable[[Path, Path], Engine] = Engine,
    ) -> None:
        self._max_engines = max_engines
        self._max_bytes = max_bytes
        self._patience_s = patience_s
        self._make = make
        self._loaded: OrderedDict[tuple[Path, Path], _Loaded] = OrderedDict()
        self._changed = threading.Condition()

    @contextmanager
    def engine(self, gguf: Path, tokenizer_folder: Path) -> Iterator[Engine]:
        """The engine for this file, loaded where it is not; kept loaded for the block."""
        key = (gguf, tokenizer_folder)
        with self._changed:
            loaded = self._loaded.get(key) or self._load(key)
            self._loaded.move_to_end(key)
            loaded.users += 1
        try:
            yield loaded.engine
        finally:
            with self._changed:
                loaded.users -= 1
                self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            for loaded in self._loaded.values():
                loaded.engine.close()
            self._loaded.clear()

    def __len__(self) -> int:
        return len(self._loaded)

    def _load(self, key: tuple[Path, Path]) -> _Loaded:
        # Under the lock: two requests for a new model must not load it twice.
        gguf, tokenizer_folder = key
        size = gguf.stat().st_size if gguf.is_file() else 0
        if not self._changed.wait_for(lambda: self._make_room(size), self._patience_s):
            raise ServingError(
                "All loaded models are busy. Try again shortly.", code="model_server_unavailable"
            )
        if key not in self._loaded:  # another request may have loaded it while this one waited
            self._loaded[key] = _Loaded(self._make(gguf, tokenizer_folder), size)
        return self._loaded[key]

    def _make_room(self, size: int) -> bool:
        """Closes idle engines, least recently used first, until one of `size` bytes fits."""
        for key, loaded in list(self._loaded.items()):
            if self._fits(size):
                break
            if loaded.users == 0:
                loaded.engine.close()
                del self._loaded[key]
        return self._fits(size)

    def _fits(self, size: int) -> bool:
        used = sum(loaded.bytes for loaded in self._loaded.values())
        return not self._loaded or (
            len(self._loaded) < self._max_engines and used + size <= self._max_bytes
        )
