"""What a training costs in seconds and bytes: first principles, with constants that were measured.

    python benchmarks/preflight.py --calibrate --points FILE

fits the constants of `Calibration` to measured runs. Floating-point operations per token with LoRA
are 4·trunk + 4·head·(share of answer tokens) + 6·adapter + attention, those of full tuning
6·(trunk + head·share) + attention; they are done at a share of the machine's own GEMM rate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from modelstation.lm.gguf.quantisations import SERVED
from training.plan.estimate.shapes import BaseShape
from training.recipes.batches import cut, micro_batches
from training.recipes.config import TrainingConfig

MAX_VALID_ROWS = 64  # as many as the recipe validates on
FORWARD_SHARE = 0.45  # forward alone is a third of a step's work, or half of what LoRA needs


@dataclass(frozen=True)
class Calibration:
    """Every constant of the model. Seconds are those of one core's worth of Python unless they are
    products, which scale with the machine's GEMM rate.

    Fitted to 20 runs on two idle cores (24 November 2026); those of a GPU are guesses.
    """

    # seconds
    load: float = 5.3
    load_per_parameter: float = 8e-9
    efficiency: float = 0.65  # of the GEMM rate, by micro-batches that are large enough
    gpu_efficiency: float = 0.30
    half_tokens: float = 8.4  # micro-batch at which half of that is reached
    per_micro_batch_layer: float = 7.8e-3
    per_step_trainable: float = 6e-9  # the optimiser and clipping, for each parameter it moves
    dora: float = 1.87  # times the products: the weights' norms are taken anew
    export: float = 1.1
    export_per_parameter: float = 43e-9  # merged weights, GGUF, hashes
    written_bytes: float = 450e6  # a second, onto a plain disk
    # bytes
    process: float = 0.73e9  # Python, torch, transformers, peft
    gpu_process: float = 0.6e9  # CUDA's context and kernels
    weights: float = 1.0  # times the base's, in the dtype of training
    per_trainable: float = 16.0  # weight, gradient, two moments
    best: float = 4.0  # the best weights so far, where the run is validated
    full_copy: float = 2.0  # more bytes a parameter in full tuning: what is multiplied
    hidden: float = 13.3  # numbers kept a token and layer, times the width of the stream
    intermediate: float = 4.0  # likewise, times the width of the feed-forward
    logits: float = 2.3  # bytes for each answer token and word of the vocabulary
    workspace: float = 0.1e9
    # The base once more in float32, on top: what training held is freed, but not given back.
    merge_per_parameter: float = 5.3
    full_merge: float = 0.3  # what was tuned is rounded where it stands


CALIBRATION = Calibration()


@dataclass(frozen=True)
class Batches:
    """One pass over the rows, cut as the recipe cuts it. `tokens` counts the shared prompt once a
    micro-batch, `attended` the pairs of tokens that look at one another.
    """

    micro_batches: float
    steps: float
    tokens: float
    answers: float
    attended: float
    largest: int  # tokens of the largest micro-batch, its prompt included
    most_answers: float  # answer tokens in the micro-batch that has most


def one_pass(
    lengths: Sequence[int],
    answers: Sequence[int],
    *,
    prefix: int,
    rows: int,
    micro: int,
    batch: int,
    is_shared: bool = True,
) -> Batches:
    """Of `rows` rows of which these are a sample; `lengths` are without the prefix, which is read
    once a micro-batch where it `is_shared`, else with every row.
    """
    order = sorted(range(len(lengths)), key=lambda row: (lengths[row], answers[row]))
    steps = list(cut(order, lengths, batch)) if order else []
    turns = [turn for step in steps for turn in micro_batches(step, lengths, micro)]
    tokens = [
        sum(lengths[row] for row in turn) + prefix * (1 if is_shared else len(turn))
        for turn in turns
    ]
    learnt = [sum(answers[row] for row in turn) for turn in turns]
    attended = [
        prefix**2 / 2 + sum(lengths[row] * (lengths[row] / 2 + prefix) for row in turn)
        for turn in turns
    ]
    scale = rows / max(1, len(lengths))
    return Batches(
        micro_batches=max(1.0, len(turns) * scale),
        steps=max(1.0, len(steps) * scale),
        tokens=sum(tokens) * scale,
        answers=sum(learnt) * scale,
        attended=sum(attended) * scale,
        largest=max([*tokens, micro + prefix if rows > len(lengths) else 0]),
        most_answers=max(learnt, default=0),
    )


def trainable_parameters(config: TrainingConfig, shape: BaseShape) -> int:
    if config.method == "full":
        return shape.parameters
    magnitudes = shape.layers * (2 * shape.hidden + 2 * shape.key_value + 3 * shape.intermediate)
    lora = shape.lora_parameters * (config.lora_rank or 0)
    return lora + (magnitudes if config.method == "dora" else 0)


def operations(config: TrainingConfig, shape: BaseShape, batches: Batches) -> float:
    """Of one forward and backward pass over these batches."""
    is_full = config.method == "full"
    each = 6 if is_full else 4
    lora = 0 if is_full else 6 * trainable_parameters(config, shape)
    products = (each * shape.trunk_parameters + lora) * batches.tokens
    head = each * shape.head_parameters * batches.answers
    attention = 3.5 * 4 * shape.layers * shape.attention * batches.attended
    return products + head + attention


def training_seconds(
    config: TrainingConfig, shape: BaseShape, run: Batches, rate: float, by: Calibration
) -> float:
    """Of all steps of the run, on a device whose best products reach `rate` operations a second."""
    is_gpu = config.device == "cuda"
    mean = run.tokens / max(1.0, run.micro_batches)
    share = by.gpu_efficiency if is_gpu else by.efficiency
    share *= mean / (mean + by.half_tokens * (8 if is_gpu else 1))
    seconds = operations(config, shape, run) / (rate * share)
    seconds *= by.dora if config.method == "dora" else 1.0
    seconds += run.micro_batches * shape.layers * by.per_micro_batch_layer
    moved = run.steps * trainable_parameters(config, shape)
    return seconds + moved * by.per_step_trainable * (0.05 if is_gpu else 1.0)


def training_bytes(
    config: TrainingConfig, shape: BaseShape, batches: Batches, by: Calibration
) -> dict[str, float]:
    """Return the bytes that the process comes to hold, by what holds them. On a CPU the worst
    moment is the merging after the last step; on a GPU that is done beside it.
    """
    width = 4 if config.dtype == "float32" else 2
    trainable = trainable_parameters(config, shape)
    kept = shape.layers * (by.hidden * shape.hidden + by.intermediate * shape.intermediate)
    parts = {
        "process": by.gpu_process if config.device == "cuda" else by.process,
        "base": shape.parameters * width * by.weights,
        "states": trainable * (by.per_trainable + (by.best if config.eval_every else 0)),
        "activations": batches.largest * kept * width,
        "logits": batches.most_answers * shape.vocabulary * by.logits,
        "workspace": by.workspace,
    }
    if config.device != "cuda":
        each = by.full_merge if config.method == "full" else by.merge_per_parameter
        parts["merging"] = shape.parameters * each
    if config.method == "full":
        parts["base"] = shape.parameters * by.full_copy
    return parts


def export_seconds(shape: BaseShape, by: Calibration) -> float:
    return by.export + shape.parameters * by.export_per_parameter


def load_seconds(shape: BaseShape, by: Calibration) -> float:
    return by.load + shape.parameters * by.load_per_parameter


def disk_bytes(config: TrainingConfig, shape: BaseShape) -> dict[str, int]:
    """At the worst moment: two checkpoints and a third in the writing, and all artifacts."""
    trainable = trainable_parameters(config, shape)
    checkpoints = 3 * trainable * 16 if config.checkpoint_every else 0
    return {
        "checkpoints": checkpoints,
        "adapter": trainable * (2 if config.method == "full" else 4),
        "merged": shape.parameters * shape.bytes_per_parameter,
        "gguf": math.ceil(shape.parameters * SERVED.bytes_per_parameter),
    }
