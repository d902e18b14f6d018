"""Which adapters vLLM holds: each is loaded once, the least recently used make room. No Django."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models_app.serving.errors import busy


@dataclass(eq=False)
class _Place:
    """Of one adapter. One whose loading failed is no longer among the places."""

    users: int = 0
    loading: Future[None] | None = None  # the latest, also when it is over
    evicts: str | None = None  # whose place it was, until that one is unloaded


class Adapters:
    """Thread-safe. Nobody waits for an adapter but those who ask for that one, and those who need
    its place. One that has requests is never unloaded.
    """

    def __init__(
        self, most: int, *, load: Callable[[str, Path], None], unload: Callable[[str], None]
    ) -> None:
        self._most = most
        self._load_in_vllm = load
        self._unload_in_vllm = unload
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._leaving: dict[str, tuple[_Place, threading.Event]] = {}
        self._lock = threading.Lock()  # of these books; never held while vLLM is called

    @contextmanager
    def held(self, name: str, folder: Path) -> Iterator[Callable[[], object]]:
        """Keep it loaded for the block, which is given what loads it once more: for when vLLM has
        lost it. Of many requests that find it lost, one loads it.
        """
        place = self._enter(name)
        try:
            loaded = self._load(place, name, folder, seen=None)
            yield lambda: self._load(place, name, folder, seen=loaded)
        finally:
            with self._lock:
                place.users -= 1

    def _enter(self, name: str) -> _Place:
        while True:
            with self._lock:
                leaving = self._leaving.get(name)
                if leaving is None:
                    return self._place_of(name)
            _, is_gone = leaving
            is_gone.wait()

    def _place_of(self, name: str) -> _Place:
        place = self._places.get(name)
        if place is None:
            place = _Place(evicts=self._make_room())
            self._places[name] = place
        place.users += 1
        self._places.move_to_end(name)
        return place

    def _make_room(self) -> str | None:
        """Who has to be unloaded first, if anybody."""
        if len(self._places) < self._most:
            return None
        idle = next((name for name, place in self._places.items() if not place.users), None)
        if idle is None:
            raise busy("All loaded adapters are busy. Try again shortly.")
        self._leaving[idle] = (self._places.pop(idle), threading.Event())
        return idle

    def _load(
        self, place: _Place, name: str, folder: Path, *, seen: Future[None] | None
    ) -> Future[None]:
        """Unless another request has begun to since `seen`; then this one waits for that."""
        with self._lock:
            leads = place.loading is seen
            loading = Future() if leads or place.loading is None else place.loading
            place.loading = loading
        if leads:
            self._lead(loading, place, name, folder)
        loading.result()
        return loading

    def _lead(self, loading: Future[None], place: _Place, name: str, folder: Path) -> None:
        try:
            if place.evicts is not None:
                self._evict(place.evicts)
                place.evicts = None
            self._load_in_vllm(name, folder)
        except BaseException as error:
            with self._lock:
                if self._places.get(name) is place:
                    del self._places[name]
            loading.set_exception(error)
        else:
            loading.set_result(None)

    def _evict(self, name: str) -> None:
        is_unloaded = False
        try:
            self._unload_in_vllm(name)
            is_unloaded = True
        finally:
            with self._lock:
                place, is_gone = self._leaving.pop(name)
                if not is_unloaded:  # then the next who needs a place tries again
                    self._places[name] = place
                    self._places.move_to_end(name, last=False)
                is_gone.set()
