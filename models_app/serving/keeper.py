"""Keeps the model server running: starts it again when it dies, stops it when this is stopped.

Run `MODEL_SERVER_KEY=… python -m models_app.serving.keeper --port 8711`; the arguments are the
server's. llama.cpp is native code: a crash of it must not take the other processes with it.
"""

import ctypes
import signal
import subprocess
import sys
import time
from types import FrameType

SERVER = [sys.executable, "-m", "models_app.serving.server"]
QUICK_DEATH_S = 5.0
MOST_QUICK_DEATHS = 5  # in a row: it will not come up by trying again
MOST_PAUSE_S = 5.0


def main(arguments: list[str]) -> int:
    keeper = _Keeper([*SERVER, *arguments])
    signal.signal(signal.SIGTERM, keeper.stop)
    signal.signal(signal.SIGINT, keeper.stop)
    return keeper.keep()


class _Keeper:
    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._server: subprocess.Popen[bytes] | None = None
        self._is_stopping = False

    def keep(self) -> int:
        quick_deaths = 0
        while True:
            began = time.monotonic()
            code = self._run_once()
            quick_deaths = quick_deaths + 1 if time.monotonic() - began < QUICK_DEATH_S else 0
            if self._is_stopping or quick_deaths >= MOST_QUICK_DEATHS:
                return max(0, code)
            print(f"The model server ended with {code}; it is started again.", file=sys.stderr)
            time.sleep(min(MOST_PAUSE_S, 0.2 * 2**quick_deaths))

    def stop(self, number: int, frame: FrameType | None) -> None:
        self._is_stopping = True
        if self._server is not None and self._server.poll() is None:
            self._server.terminate()

    def _run_once(self) -> int:
        if self._is_stopping:
            return 0
        self._server = subprocess.Popen(self._command, preexec_fn=_die_with_parent)
        if self._is_stopping:  # the stop came while it was being started
            self._server.terminate()
        return self._server.wait()


def _die_with_parent() -> None:
    """Leave no server that holds the port when the supervisor is killed outright."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
