"""A child that keeps the protocol of the training child and only counts: a chain of hashes, so that
a run that was resumed wrongly ends with another digest. No Django inside.

    python -m modelstation.tests.faults.counter SPEC.json
"""

import errno
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from modelstation.core.artifacts import ArtifactError, verify, write_artifact

asked_to_pause = False


def emit(**event):
    print(json.dumps(event), flush=True)


def advance(state, step):
    return hashlib.sha256(f"{state} {step}".encode()).hexdigest()


def expected_digest(steps):
    state = ""
    for step in range(1, steps + 1):
        state = advance(state, step)
    return state


def newest_valid(folder):
    """(step, state) of the newest checkpoint whose manifest verifies, else of the one before."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            verify(path)
        except ArtifactError:
            continue
        kept = json.loads((path / "state.json").read_text())
        return kept["step"], kept["state"]
    return 0, ""


def save(folder, step, state, padding):
    def fill(target):
        content = {"step": step, "state": state, "padding": "x" * padding}
        (target / "state.json").write_text(json.dumps(content))

    write_artifact(folder / f"step-{step:06}", fill, kind="checkpoint", facts={})
    for old in sorted(folder.glob("step-*"))[:-2]:
        shutil.rmtree(old)
    emit(event="checkpoint", step=step)


def count(spec):
    folder = Path(spec["checkpoints_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob(".step-*"):  # of a child that was killed while it wrote
        shutil.rmtree(left_over)
    first, state = newest_valid(folder)
    steps = spec["steps"]
    emit(event="progress", stage="load", step=0, total_steps=1)
    time.sleep(spec["load_seconds"])
    for step in range(first + 1, steps + 1):
        if spec.get("hangs_at") == step:
            while True:  # still beats, and still writes
                emit(event="progress", stage="train", step=step, total_steps=steps)
                time.sleep(0.1)
        if spec.get("dies_at") == step:
            os.kill(os.getpid(), signal.SIGSEGV)
        if spec.get("too_large_at") == step and not spec["overrides"]:
            emit(event="error", code="gpu_oom", message="The GPU ran out of memory.")
            sys.exit(1)
        time.sleep(spec["step_seconds"])
        state = advance(state, step)
        with open(spec["log"], "a") as log:
            log.write(f"{spec['attempt']} {step}\n")
        emit(event="progress", stage="train", step=step, total_steps=steps)
        if step % spec["checkpoint_every"] == 0 or asked_to_pause:
            save(folder, step, state, spec.get("padding", 0))
        if asked_to_pause:
            sys.exit(75)
    emit(event="progress", stage="export", step=0, total_steps=1)
    time.sleep(spec.get("export_seconds", 0))
    out = Path(spec["out_dir"])
    out.parent.mkdir(parents=True, exist_ok=True)
    write_artifact(out, lambda target: (target / "digest").write_text(state), kind="x", facts={})
    emit(event="result", digest=state)


def main():
    def pause(*_):
        global asked_to_pause
        asked_to_pause = True

    signal.signal(signal.SIGUSR1, pause)
    if json.loads(Path(sys.argv[1]).read_text()).get("ignores_sigterm"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        count(json.loads(Path(sys.argv[1]).read_text()))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        emit(event="error", code="disk_full", message="No disk space is left.")
        sys.exit(1)


if __name__ == "__main__":
    main()
