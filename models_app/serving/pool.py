"""The loaded models: the most recently used stay, within a number of bytes. No Django."""

import ctypes
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models_app.serving.encoder.engine import EncoderEngine, is_encoder
from models_app.serving.engine import Engine
from models_app.serving.errors import ServingError, busy

Key = tuple[Path, Path]
AnyEngine = Engine | EncoderEngine
# What an engine is made of: another file in one of these places makes it another model.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
BUSY = "All loaded models are busy. Try again shortly."
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(eq=False)
class _Loaded:
    """Loading while it has no engine; counted once room was made for it."""

    files: tuple[Any, ...]
    bytes: int
    is_head: bool = False  # of an encoder that many share: it takes no place of an engine
    engine: AnyEngine | None = None
    failure: Exception | None = None
    users: int = 0
    is_placed: bool = False


class EnginePool:
    """Thread-safe. A model is loaded once however many ask for it, and nobody waits for a load but
    those who need that model. An engine in use is never closed; a request that finds no room
    waits for it, and not for ever.
    """

    def __init__(
        self,
        *,
        max_engines: int = 64,
        max_bytes: int = 4 * 2**30,
        patience_s: float = 60,
        make: Callable[[Path, Path], AnyEngine] = Engine,
        needed: Callable[[Path], int] | None = None,
    ) -> None:
        self._max_engines = max_engines
        self.max_bytes = max_bytes
        self._patience_s = patience_s
        self._make = make
        self._needed = needed or _size
        self._loaded: OrderedDict[Key, _Loaded] = OrderedDict()
        self._outdated: list[_Loaded] = []  # in use while their file was replaced
        self._changed = threading.Condition()
        # One after the other: two at once fight over disk and cores, and could not be measured.
        self._loading = threading.Lock()

    @contextmanager
    def engine(self, gguf: Path, tokenizer_folder: Path) -> Iterator[AnyEngine]:
        """Yield the engine for this file, loaded where it is not; kept loaded for the block."""
        loaded = self._acquire((gguf, tokenizer_folder))
        assert loaded.engine is not None
        try:
            yield loaded.engine
        finally:
            self._release(loaded)

    def close(self) -> None:
        with self._changed:
            entries = [*self._loaded.values(), *self._outdated]
            self._loaded.clear()
            self._outdated.clear()
        _close(entries)

    def facts(self) -> list[dict[str, Any]]:
        """List what is loaded, the most recently used last."""
        with self._changed:
            return [
                {
                    "gguf": str(gguf),
                    "bytes": entry.bytes,
                    "users": entry.users,
                    "state": "ready" if entry.engine else "loading",
                }
                for (gguf, _), entry in self._loaded.items()
            ]

    def bytes(self) -> int:
        return sum(entry.bytes for entry in self._entries())

    def __len__(self) -> int:
        return len(self._loaded)

    def _acquire(self, key: Key) -> _Loaded:
        files = _fingerprint(*key)
        size = self._needed(key[0])
        with self._changed:
            stale = self._set_aside_outdated(key, files)
            entry = self._loaded.get(key)
            mine = entry is None
            if entry is None:
                entry = self._loaded[key] = _Loaded(files, 0, is_encoder(key[0]))
            entry.users += 1
            self._loaded.move_to_end(key)
        _close(stale)
        try:
            self._load(key, entry, size) if mine else self._wait_for(entry)
        except BaseException:
            self._release(entry)
            raise
        return entry

    def _release(self, entry: _Loaded) -> None:
        with self._changed:
            entry.users -= 1
            unused = [entry] if entry in self._outdated and entry.users == 0 else []
            self._outdated = [each for each in self._outdated if each not in unused]
            self._changed.notify_all()
        _close(unused)

    def _wait_for(self, entry: _Loaded) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: entry.engine or entry.failure, self._patience_s):
                raise busy(BUSY)
            if entry.failure:
                raise entry.failure

    def _load(self, key: Key, entry: _Loaded, size: int) -> None:
        try:
            _close(self._make_room(entry, size))
            with self._loading:
                before = resident_bytes()
                engine = self._make(*key)
                grown = resident_bytes() - before
        except BaseException as error:
            self._forget(key, entry, error)
            raise
        with self._changed:
            entry.engine = engine
            entry.bytes = max(size, grown)
            if isinstance(engine, EncoderEngine):  # what else it loaded is everybody's
                entry.bytes = engine.own_bytes
            excess = self._idle_beyond_the_limit()
            self._changed.notify_all()
        _close(excess)

    def _forget(self, key: Key, entry: _Loaded, error: BaseException) -> None:
        with self._changed:
            broken = ServingError("The model could not be loaded.", code="model_unreadable")
            entry.failure = error if isinstance(error, ServingError) else broken
            entry.bytes, entry.is_placed = 0, False
            if self._loaded.get(key) is entry:
                del self._loaded[key]
            self._outdated = [each for each in self._outdated if each is not entry]
            self._changed.notify_all()

    def _make_room(self, entry: _Loaded, size: int) -> list[_Loaded]:
        """Engines to close, least recently used first, so that one of `size` bytes fits."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._can_fit(entry, size), self._patience_s):
                raise busy(BUSY)
            entry.bytes, entry.is_placed = size, True
            return self._idle_beyond_the_limit()

    def _can_fit(self, entry: _Loaded, size: int) -> bool:
        """With every idle engine closed; a model too large for the limit is served alone."""
        held = [each for each in self._entries() if each is not entry and not _is_idle(each)]
        placed = [each for each in held if each.is_placed]
        return not placed or (
            sum(not each.is_head for each in placed) < self._max_engines
            and sum(each.bytes for each in placed) + size <= self.max_bytes
        )

    def _idle_beyond_the_limit(self) -> list[_Loaded]:
        closing: list[_Loaded] = []
        for key, entry in list(self._loaded.items()):
            if self._is_within_the_limit():
                break
            if _is_idle(entry):
                closing.append(self._loaded.pop(key))
        return closing

    def _is_within_the_limit(self) -> bool:
        placed = [entry for entry in self._entries() if entry.is_placed]
        engines = sum(not each.is_head for each in placed)
        return engines <= self._max_engines and self.bytes() <= self.max_bytes

    def _set_aside_outdated(self, key: Key, files: tuple[Any, ...]) -> list[_Loaded]:
        entry = self._loaded.get(key)
        if entry is None or entry.files == files:
            return []
        del self._loaded[key]
        if entry.users == 0:
            return [entry]
        self._outdated.append(entry)
        return []

    def _entries(self) -> list[_Loaded]:
        return [*self._loaded.values(), *self._outdated]


def resident_bytes() -> int:
    """Return the main memory that this process holds now; 0 where the kernel does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _is_idle(entry: _Loaded) -> bool:
    return entry.users == 0 and entry.engine is not None


def _close(entries: list[_Loaded]) -> None:
    """Never under the lock: freeing gigabytes takes a while."""
    for entry in entries:
        if entry.engine is not None:
            entry.engine.close()
    # glibc keeps what was freed: a few dozen MB more after every load, in each thread's arena.
    if entries and (trim := getattr(LIBC, "malloc_trim", None)):
        trim(0)


def _fingerprint(gguf: Path, tokenizer_folder: Path) -> tuple[Any, ...]:
    paths = (gguf, *(tokenizer_folder / name for name in TOKENIZER_FILES))
    return tuple(_identity(path) for path in paths)


def _identity(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except OSError:
        return ()
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _size(gguf: Path) -> int:
    return gguf.stat().st_size if gguf.is_file() else 0
