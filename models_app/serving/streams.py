"""Several answers at once, each read in a thread of its own. No Django."""

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

from models_app.serving.answers import Completion, Piece

Item = Piece | Completion | Exception


def together(
    streams: Sequence[Iterator[Piece | Completion]], heartbeat: float | None = None
) -> Generator[tuple[int, Item] | None, None, None]:
    """Yield from whichever stream has a piece first, with its number; what a stream fails with is
    its last item. None after each `heartbeat` seconds of silence. Closing it ends each stream at
    its next piece.
    """
    arrived: queue.SimpleQueue[tuple[int, Item | None]] = queue.SimpleQueue()
    left = threading.Event()

    def pass_on(number: int) -> None:
        try:
            with closing(streams[number]) as stream:  # type: ignore[type-var]
                for piece in stream:
                    if left.is_set():
                        return
                    arrived.put((number, piece))
        except Exception as error:
            arrived.put((number, error))
        arrived.put((number, None))

    for number in range(len(streams)):
        threading.Thread(target=pass_on, args=(number,), daemon=True).start()
    going_on = len(streams)
    try:
        while going_on:
            try:
                number, item = arrived.get(timeout=heartbeat)
            except queue.Empty:
                yield None
                continue
            if item is None:
                going_on -= 1
            else:
                yield number, item
    finally:
        left.set()
