"""Which base to start from, and why in a sentence: by the kind of task, the size that may be
served, the rows at hand and the machine. A recommendation, never a rule: the user decides."""

from collections.abc import Collection
from dataclasses import dataclass

from modelstation.lm.bases.catalog import BASES, Base

# Best first, by judgement and not by measurement. A label or a field stands in the input or in a
# short list: small models find it.
# Written text, sums and queries need what a larger base knows, and queries one that has read code.
PREFERENCES = {
    "classify": (
        "smollm2-135m-instruct", "qwen2.5-0.5b-instruct", "smollm2-360m-instruct", "qwen3-0.6b",
    ),
    "extract_json": (
        "smollm2-360m-instruct", "qwen2.5-0.5b-instruct", "qwen3-0.6b", "smollm2-135m-instruct",
    ),
    "sql": (
        "qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct", "qwen3-0.6b",
        "qwen2.5-0.5b-instruct", "smollm2-360m-instruct", "smollm2-135m-instruct",
    ),
    "number": (
        "qwen2.5-1.5b-instruct", "qwen3-1.7b", "qwen3-0.6b", "qwen2.5-0.5b-instruct",
        "smollm2-360m-instruct", "smollm2-135m-instruct",
    ),
    "generate": (
        "smollm2-1.7b-instruct", "qwen3-1.7b", "qwen2.5-1.5b-instruct", "qwen3-0.6b",
        "qwen2.5-0.5b-instruct", "smollm2-360m-instruct", "smollm2-135m-instruct",
    ),
}  # fmt: skip
WHY = {
    "classify": "a label is a short answer from a short list, which a small base learns well",
    "extract_json": "the answer stands in the input, so a small base that keeps to a form suffices",
    "sql": "queries need a base that has read code",
    "number": "sums need a larger base",
    "generate": "free text needs a larger base",
}
# Of training with LoRA: base in bf16, activations of one micro-batch, the runtime itself.
TRAINING_BYTES_PER_PARAMETER = 2.6
TRAINING_BYTES_BESIDE = 1.5e9
TOKENS_PER_ROW = 150
EPOCHS = 3
FLOPS_PER_PARAMETER = 4  # a LoRA step, for each token that it reads
CPU_FLOPS_PER_CORE = 75e9  # bf16, at half of what such a core reaches at best
PATIENCE_HOURS = 4.0  # without a GPU; a base that takes longer is passed over


@dataclass(frozen=True)
class Machine:
    memory_bytes: int
    cores: int
    gpu_memory_bytes: int = 0


@dataclass(frozen=True)
class Recommendation:
    base: Base
    reason: str
    is_installed: bool
    installed: Base | None  # the best of those on the installation; None: none is


def recommend(
    task_kind: str,
    *,
    rows: int,
    machine: Machine,
    installed: Collection[str],
    max_served_mb: float | None = None,
    language: str = "",
) -> Recommendation:
    """`language` is the inputs' ISO 639-1 code, empty for any; `installed` holds names."""
    wanted = [BASES[name] for name in PREFERENCES.get(task_kind, PREFERENCES["generate"])]
    obstacles = {
        base.name: _obstacle(base, rows, machine, max_served_mb, language) for base in wanted
    }
    fitting = [base for base in wanted if not obstacles[base.name]]
    smallest = min(wanted, key=lambda base: base.parameters)
    best = fitting[0] if fitting else smallest
    here = [base for base in fitting or [smallest] if base.name in installed]
    known = [BASES[name] for name in installed if name in BASES]
    here += sorted(known, key=lambda base: base.parameters)
    passed_over = wanted[0] if fitting and best != wanted[0] else None
    return Recommendation(
        base=best,
        reason=_reason(task_kind, best, obstacles, passed_over),
        is_installed=best.name in installed,
        installed=here[0] if here else None,
    )


def training_hours(base: Base, rows: int, machine: Machine) -> float:
    """Return a rough figure, minutes or days; the plan of a run is far nearer."""
    flops = FLOPS_PER_PARAMETER * base.parameters * rows * TOKENS_PER_ROW * EPOCHS
    return flops / (CPU_FLOPS_PER_CORE * machine.cores) / 3600


def _obstacle(
    base: Base, rows: int, machine: Machine, max_served_mb: float | None, language: str
) -> str:
    """Why this base will not do; empty when it will."""
    served_mb = base.gguf_bytes / 1e6
    if max_served_mb is not None and served_mb > max_served_mb:
        return f"takes {served_mb:,.0f} MB when served, more than {max_served_mb:,.0f}"
    if language not in ("", "en") and not base.is_multilingual:
        return "has learnt English only"
    needed = base.parameters * TRAINING_BYTES_PER_PARAMETER + TRAINING_BYTES_BESIDE
    memory = max(machine.memory_bytes, machine.gpu_memory_bytes)
    if needed > memory:
        return f"needs about {needed / 1e9:.1f} GB to train, and there are {memory / 1e9:.1f}"
    hours = 0.0 if machine.gpu_memory_bytes > needed else training_hours(base, rows, machine)
    if hours > PATIENCE_HOURS:
        return f"would train for about {hours:.0f} hours on {machine.cores} cores without a GPU"
    return ""


def _reason(task_kind: str, best: Base, obstacles: dict[str, str], passed_over: Base | None) -> str:
    why = WHY.get(task_kind, WHY["generate"])
    if obstacles[best.name]:
        return f"{best.name}, the smallest there is: even this one {obstacles[best.name]}."
    if passed_over is None:
        return f"{best.name}: {why}."
    return f"{best.name}: {why}; {passed_over.name} {obstacles[passed_over.name]}."
