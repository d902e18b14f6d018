"""What this machine can do: its GEMM rate, its memory within the limits of its container, its GPU.

    python -m training.plan.estimate.measure

prints it as one line of JSON, about two seconds after torch is loaded. Memory can be asked for
without torch.
"""

import json
import shutil
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.plan.estimate.machine import cpu_has_bf16, idle_cores

if TYPE_CHECKING:
    import torch

MEMINFO = Path("/proc/meminfo")
# (limit, used) of version 2 and of version 1 of control groups, as a container sees them.
CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)
# A training's products are about this large: (tokens, in, out).
GEMM = (1024, 1024, 2048)
GEMM_SECONDS = 0.4
LEAST_PRODUCTS = 5


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


def measure() -> dict[str, Any]:
    """The fields of a preflight's Machine that only a process with torch can tell."""
    import torch

    cores = idle_cores()
    torch.set_num_threads(cores)
    total, available = memory()
    has_bf16 = cpu_has_bf16()
    facts = {
        "host": socket.gethostname(),
        "cores": cores,
        "has_bf16": has_bf16,
        "fp32_flops": _gemm_rate(torch.float32, "cpu"),
        "bf16_flops": _gemm_rate(torch.bfloat16, "cpu") if has_bf16 else 0.0,
        "memory_bytes": total,
        "available_bytes": available,
    }
    return facts | _gpu()


def _gpu() -> dict[str, Any]:
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
