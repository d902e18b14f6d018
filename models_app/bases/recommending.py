"""The recommendation for a draft, with what this installation has: its bases and its machine."""

import os
import shutil
import subprocess
from functools import lru_cache
from typing import TYPE_CHECKING

from models_app.models import FoundationModel
from models_app.understanding import understood
from modelstation.lm.bases.recommend import Machine, Recommendation, recommend

if TYPE_CHECKING:
    from models_app.drafts import ModelDraft

MEGABYTE = 1024 * 1024


def recommended(draft: "ModelDraft", *, task_kind: str = "") -> Recommendation:
    """Take `task_kind` where a person has chosen it; else what is understood of the requirement."""
    intent = understood(draft)
    names = FoundationModel.objects.filter(is_installed=True).values_list("name", flat=True)
    return recommend(
        task_kind or intent.task_kind,
        rows=draft.rows,
        machine=this_machine(),
        installed=set(names),
        max_served_mb=draft.max_size_mb,
        language=intent.language,
    )


@lru_cache
def this_machine() -> Machine:
    return Machine(
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cores=len(os.sched_getaffinity(0)),
        gpu_memory_bytes=_gpu_memory(),
    )


def _gpu_memory() -> int:
    """Of the first GPU; the web process has no torch."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    query = [tool, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        ran = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True)
        return int(ran.stdout.split()[0]) * MEGABYTE
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return 0
