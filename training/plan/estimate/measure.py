"""What this machine can do: its idle cores, its GEMM rate, its memory within the limits of its
container, its GPU.

    python -m training.plan.estimate.measure

prints it as one line of JSON, about two seconds after torch is loaded. Cores, memory and disk are
read without torch.
"""

import json
import os
import resource
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

CPU_TIMES = Path("/proc/stat")
SAMPLE_SECONDS = 0.5
IDLE, IOWAIT = 3, 4
MEMINFO = Path("/proc/meminfo")
# (limit, used) of version 2 and of version 1 of control groups, as a container sees them.
CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
# A training's products are about this large: (tokens, in, out).
GEMM = (1024, 1024, 2048)
GEMM_SECONDS = 0.4
LEAST_PRODUCTS = 5
MachineFacts = dict[str, str | int | float | bool]  # those of the fields of a Machine


def idle_cores() -> int:
    """Return how many threads to start, at least one; OMP_NUM_THREADS, where set, decides.

    Matrix products wait for their slowest thread. On a core shared with another busy process that
    wait made two threads four times slower than one, so only cores idle right now are counted.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted):
        return int(wanted)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if not CPU_TIMES.is_file():
        return usable or 1
    before = _cpu_times()
    time.sleep(SAMPLE_SECONDS)
    return idle_among(usable or 1, before, _cpu_times())


def idle_among(cores: int, before: list[int], after: list[int]) -> int:
    """Return how many of `cores` were idle between two readings of the kernel's times."""
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
    """Return the most this process has held so far: on the GPU where it uses one, else in RAM."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def memory() -> tuple[int, int]:
    """Bytes in all, and bytes available now; within the container's limit, if it has one."""
    total, available = _of_machine()
    for limit, used in CGROUPS:
        if (most := _number(Path(limit))) and most < total:
            return most, min(available, max(0, most - _number(Path(used))))
    return total, available


def disk_free(folder: Path) -> int:
    """Bytes left where `folder` is, or is to be made."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def measure() -> MachineFacts:
    """Return the fields of a preflight's Machine that only a process with torch can know."""
    import torch

    cores = idle_cores()
    torch.set_num_threads(cores)
    total, available = memory()
    has_bf16 = cpu_has_bf16()
    facts: MachineFacts = {
        "host": socket.gethostname(),
        "cores": cores,
        "has_bf16": has_bf16,
        "fp32_flops": _gemm_rate(torch.float32, "cpu"),
        "bf16_flops": _gemm_rate(torch.bfloat16, "cpu") if has_bf16 else 0.0,
        "memory_bytes": total,
        "available_bytes": available,
    }
    return facts | _gpu()


def _gpu() -> MachineFacts:
    import torch

    if not torch.cuda.is_available():
        return {}
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return {
        "gpu": torch.cuda.get_device_name(0),
        "gpus": torch.cuda.device_count(),
        "gpu_memory_bytes": torch.cuda.mem_get_info(0)[1],
        "gpu_flops": _gemm_rate(dtype, "cuda"),
        "has_bf16": torch.cuda.is_bf16_supported(),
    }


def _gemm_rate(dtype: "torch.dtype", device: str) -> float:
    """Floating-point operations a second of the best product within the time given."""
    import torch

    scale = 1 if device == "cpu" else 8
    rows, inner, columns = (size * scale for size in GEMM)
    left = torch.randn(rows, inner, device=device).to(dtype)
    right = torch.randn(inner, columns, device=device).to(dtype)
    left @ right  # the first call chooses a kernel
    took: list[float] = []
    while sum(took) < GEMM_SECONDS or len(took) < LEAST_PRODUCTS:
        started = time.perf_counter()
        (left @ right).sum().item()
        took.append(time.perf_counter() - started)
    return 2 * rows * inner * columns / min(took)


def _of_machine() -> tuple[int, int]:
    if not MEMINFO.is_file():
        return 0, 0
    facts = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
    return tuple(  # type: ignore[return-value]
        int(facts[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable")
    )


def _number(path: Path) -> int:
    """0 for a limit that is not there, or says "max"."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


if __name__ == "__main__":
    print(json.dumps(measure()))
