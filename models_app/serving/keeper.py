"""Keeps the model server running: whatever ends it, it is started again.

Run `MODEL_SERVER_KEY=… python -m models_app.serving.keeper --port 8711`; arguments are the
server's. llama.cpp is native code: a damaged file or a full memory can end the process, and a
request that hung on it is answered with an error, but the next one must find a server.
"""

import signal
import subprocess
import sys
import threading
import time

FIRST_BACKOFF, LAST_BACKOFF = 0.5, 15.0
STABLE_SECONDS = 30.0  # a server that lived so long did not fail at its start
STOP_SECONDS = 15.0


def keep(arguments: list[str]) -> None:
    """Until SIGTERM or Ctrl-C."""
    stop, backoff = threading.Event(), FIRST_BACKOFF
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set():
        began = time.monotonic()
        server = subprocess.Popen([sys.executable, "-m", "models_app.serving.server", *arguments])
        code = _watch(server, stop)
        if stop.is_set():
            return
        backoff = FIRST_BACKOFF if time.monotonic() - began > STABLE_SECONDS else backoff
        print(f"the model server ended with {code}: starting it again", file=sys.stderr, flush=True)
        stop.wait(backoff)
        backoff = min(LAST_BACKOFF, backoff * 2)


def _watch(server: "subprocess.Popen[bytes]", stop: threading.Event) -> int | None:
    """Its exit code; ended by us where we are told to stop."""
    while server.poll() is None:
        if stop.wait(0.2):
            server.terminate()
            try:
                server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    return server.returncode


if __name__ == "__main__":
    keep(sys.argv[1:])
