"""Why each setting of a run is what it is, in a sentence each, for page and API alike.

python -m pytest training/tests/plan/test_preflight.py -k explain
"""

from training.plan.estimate.estimates import Estimate, Machine
from training.plan.estimate.refusals import gigabytes
from training.recipes.config import (
    BATCH_TOKENS,
    EVALS_PER_RUN,
    FEW_STEPS,
    LORA_RANKS,
    MAX_ROWS_PER_BATCH,
    MIN_STEPS,
    RunFacts,
    TrainingConfig,
)

REQUESTED = "As you asked."
CHOSEN = {
    "seed": "Any number does; the same seed on the same machine gives the same losses.",
    "method": "LoRA learns as well as full fine-tuning from datasets of this size, with a "
    "fraction of the memory.",
    "lora_alpha": f"Scaled by the rank, {TrainingConfig.lora_alpha} suits every rank, so that the "
    "learning rate need not change with it.",
    "max_seq_len": "Longer rows are left out whole: a cut row would teach an answer to a question "
    "that was not read.",
    "warmup_ratio": f"The first {100 * TrainingConfig.warmup_ratio:g} % of the steps climb to the "
    "learning rate: AdamW's estimates are still poor then.",
    "final_lr_ratio": "The rate falls in a line to a tenth: the last steps settle what was learnt.",
    "weight_decay": "None: a few passes over a small dataset are not helped by it.",
    "max_grad_norm": "One strange batch must not undo the others.",
    "max_minutes": "No limit.",
    "max_tokens": "No limit.",
    "max_steps": "The epochs decide.",
}
COSTLY_METHODS = {
    "full": "As you asked. Full fine-tuning holds about 16 bytes more for every parameter of the "
    "base, writes large checkpoints, and no adapter can be taken off.",
    "dora": "As you asked. DoRA learns the weights' size and direction apart: about a third slower "
    "than LoRA, a little better at low ranks.",
}
BFLOAT16 = "The machine multiplies in bfloat16, which is quicker; what learns stays float32."


def explain(requested: TrainingConfig, estimate: Estimate, machine: Machine) -> dict[str, str]:
    """Return a sentence for every setting of the config."""
    automatic = TrainingConfig().to_json()
    known = estimate.run_facts
    reasons = CHOSEN | (_of_this_run(estimate, known, machine) if known else {})
    reasons = {
        name: reasons.get(name, "") if value == automatic[name] else REQUESTED
        for name, value in requested.to_json().items()
    }
    costly = COSTLY_METHODS.get(requested.method)
    return reasons | ({"method": costly} if costly else {})


def _of_this_run(estimate: Estimate, known: RunFacts, machine: Machine) -> dict[str, str]:
    config = estimate.config
    seconds = (config.checkpoint_every or 0) * estimate.seconds_per_step
    span = f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"
    return {
        "device": f"The training worker has a GPU: {machine.gpu}."
        if config.device == "cuda"
        else f"The training worker has no GPU; {machine.cores} idle core(s) are used.",
        "dtype": BFLOAT16
        if config.dtype == "bfloat16"
        else "The machine has no quick bfloat16 arithmetic.",
        "lora_rank": "Not used by full fine-tuning."
        if config.method == "full"
        else f"The adapter's {config.lora_rank or 0} × {known.lora_parameters:,} parameters must "
        f"be no fewer than the {known.answer_tokens:,} answer tokens to learn; {LORA_RANKS[0]} is "
        "the least we use.",
        "learning_rate": _learning_rate(config, estimate.steps, known.parameters / 1e6),
        "epochs": _epochs(config, estimate.rows),
        "tokens_per_batch": _batch(config, known.longest_row),
        "micro_batch_tokens": "The whole batch fits into memory at once."
        if config.micro_batch_tokens == config.tokens_per_batch
        else "The largest part of a batch that fits into the "
        f"{gigabytes(machine.memory_for(config))} of free memory.",
        "eval_every": f"About {EVALS_PER_RUN} looks at the validation rows in a run, at least ten "
        "steps apart.",
        "patience": f"{config.patience} looks in a row without a better one end the run; the best "
        "checkpoint is kept.",
        "checkpoint_every": f"About every {span}, and at least four in a run: that much is lost at "
        "most when a worker is.",
    }


def _learning_rate(config: TrainingConfig, steps: int, millions: float) -> str:
    short = f", times 1.5 for fewer than {FEW_STEPS} steps" if steps < FEW_STEPS else ""
    is_full = config.method == "full"
    kind = "a tenth of LoRA's rate" if is_full else "what was measured best with LoRA"
    size = f"{millions:,.{0 if millions >= 10 else 1}f} million parameters"
    return f"It is {kind} for a base of {size}{short}."


def _epochs(config: TrainingConfig, rows: int) -> str:
    if config.max_steps:
        return "Not used: max_steps decides."
    few = " More, because so few rows make few steps." if (config.epochs or 0) > 3 else ""
    return (
        f"{config.epochs:g} passes over {rows:,} rows: three, more for a handful of rows, "
        f"fewer for many thousands.{few}"
    )


def _batch(config: TrainingConfig, longest_row: int) -> str:
    if config.tokens_per_batch == BATCH_TOKENS.get(config.device, 0):
        return f"What this device multiplies well at once, at most {MAX_ROWS_PER_BATCH} rows."
    return (
        f"Small enough for {MIN_STEPS} steps or more, large enough for the longest row "
        f"({longest_row} tokens); at most {MAX_ROWS_PER_BATCH} rows."
    )
