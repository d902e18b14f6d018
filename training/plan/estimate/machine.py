"""What the machine can give a run: cores that nobody else is using, and bfloat16 arithmetic.

python -c "from training.plan.estimate.machine import idle_cores; print(idle_cores())"
"""

import os
import resource
import sys
import time
from pathlib import Path

CPU_TIMES = Path("/proc/stat")
SAMPLE_SECONDS = 0.5
IDLE, IOWAIT = 3, 4


def idle_cores() -> int:
    """How many threads to start, at least one; OMP_NUM_THREADS, where set, decides.

    Matrix products wait for their slowest thread. On a core shared with another busy process that
    wait made two threads four times slower than one, so only cores idle right now are counted.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked):
        return int(asked)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if not CPU_TIMES.is_file():
        return usable or 1
    before = _cpu_times()
    time.sleep(SAMPLE_SECONDS)
    return idle_among(usable or 1, before, _cpu_times())


def idle_among(cores: int, before: list[int], after: list[int]) -> int:
    """Of `cores`, those idle between two readings of the times that the kernel counts."""
    spent = [late - early for early, late in zip(before, after, strict=True)]
    share = (spent[IDLE] + spent[IOWAIT]) / max(1, sum(spent))
    return min(cores, max(1, round(cores * share)))


def _cpu_times() -> list[int]:
    return [int(field) for field in CPU_TIMES.read_text().split("\n", 1)[0].split()[1:]]


def cpu_has_bf16() -> bool:
    """Arithmetic in bfloat16, not only the conversions that every CPU can do slowly."""
    import torch

    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def peak_memory_bytes() -> int:
    """The most this process has held so far: on the GPU where it uses one, else in main memory."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
