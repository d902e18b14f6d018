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


def explain(requested: TrainingConfig, estimate: Estimate, machine: Machine) -> dict[str, str]:
    """Return a sentence for every setting of the config."""
    automatic = TrainingConfig().to_json()
    reasons = CHOSEN | _of_this_run(estimate, machine)
    reasons = {
        name: reasons.get(name, "") if value == automatic[name] else REQUESTED
        for name, value in requested.to_json().items()
    }
    return reasons | _costly_choices(requested)


def _of_this_run(estimate: Estimate, machine: Machine) -> dict[str, str]:
    known, config = estimate.run_facts, estimate.config
    if known is None:
        return {}
    return {
        "device": _device(config, machine),
        "dtype": _dtype(config, machine),
        "lora_rank": _rank(config, known.answer_tokens, known.lora_parameters),
        "learning_rate": _learning_rate(config, estimate),
        "epochs": _epochs(config, estimate),
        "tokens_per_batch": _batch(config, estimate),
        "micro_batch_tokens": _micro_batch(config, estimate, machine),
        "eval_every": f"About {EVALS_PER_RUN} looks at the validation rows in a run, at least ten "
        "steps apart.",
        "patience": f"{config.patience} looks in a row without a better one end the run; the best "
        "checkpoint is kept.",
        "checkpoint_every": f"About every {_span(estimate)}, and at least four in a run: that much "
        "is lost at most when a worker is.",
    }


def _device(config: TrainingConfig, machine: Machine) -> str:
    if config.device == "cuda":
        return f"The training worker has a GPU: {machine.gpu}."
    return f"The training worker has no GPU; {machine.cores} idle core(s) are used."


def _dtype(config: TrainingConfig, machine: Machine) -> str:
    if config.dtype == "bfloat16":
        return "The machine multiplies in bfloat16, which is quicker; what learns stays float32."
    return "The machine has no quick bfloat16 arithmetic."


def _rank(config: TrainingConfig, answers: int, each: int) -> str:
    if config.method == "full":
        return "Not used by full fine-tuning."
    return (
        f"The adapter's {config.lora_rank or 0} × {each:,} parameters must be no fewer than the "
        f"{answers:,} answer tokens to learn; {LORA_RANKS[0]} is the least we use."
    )


def _learning_rate(config: TrainingConfig, estimate: Estimate) -> str:
    size = (estimate.run_facts.parameters if estimate.run_facts else 0) / 1e6
    short = f", times 1.5 for fewer than {FEW_STEPS} steps" if estimate.steps < FEW_STEPS else ""
    kind = (
        "a tenth of LoRA's rate for"
        if config.method == "full"
        else "what was measured best with LoRA for"
    )
    return f"It is {kind} a base of {size:,.{0 if size >= 10 else 1}f} million parameters{short}."


def _epochs(config: TrainingConfig, estimate: Estimate) -> str:
    if config.max_steps:
        return "Not used: max_steps decides."
    few = " More, because so few rows make few steps." if (config.epochs or 0) > 3 else ""
    return (
        f"{config.epochs:g} passes over {estimate.rows:,} rows: three, more for a handful of rows, "
        f"fewer for many thousands.{few}"
    )


def _batch(config: TrainingConfig, estimate: Estimate) -> str:
    most = BATCH_TOKENS.get(config.device, 0)
    if config.tokens_per_batch == most:
        return f"What this device multiplies well at once, at most {MAX_ROWS_PER_BATCH} rows."
    return (
        f"Small enough for {MIN_STEPS} steps or more, large enough for the longest row "
        f"({estimate.run_facts.longest_row if estimate.run_facts else 0} tokens); at most "
        f"{MAX_ROWS_PER_BATCH} rows."
    )


def _micro_batch(config: TrainingConfig, estimate: Estimate, machine: Machine) -> str:
    if config.micro_batch_tokens == config.tokens_per_batch:
        return "The whole batch fits into memory at once."
    room = gigabytes(machine.memory_for(config))
    return f"The largest part of a batch that fits into the {room} of free memory."


def _span(estimate: Estimate) -> str:
    seconds = (estimate.config.checkpoint_every or 0) * estimate.seconds_per_step
    return f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"


def _costly_choices(requested: TrainingConfig) -> dict[str, str]:
    """Return what a choice of one's own costs."""
    if requested.method == "full":
        return {
            "method": "As you asked. Full fine-tuning holds about 16 bytes more for every "
            "parameter of the base, writes large checkpoints, and no adapter can be taken off."
        }
    if requested.method == "dora":
        return {
            "method": "As you asked. DoRA learns the weights' size and direction apart: about a "
            "third slower than LoRA, a little better at low ranks."
        }
    return {}
