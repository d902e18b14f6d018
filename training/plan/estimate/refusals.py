"""What the preflight refuses and what it remarks, in sentences that say what to do.

python -m pytest training/tests/plan/test_preflight.py -k refus
"""

from training.plan.estimate.estimates import Estimate, Facts, Machine, Refusal
from training.recipes.config import MIN_ROWS, USEFUL_STEPS, TrainingConfig

BUDGETS = ("max_minutes", "max_tokens")  # as users write them
FREE_SHARE = 0.95  # of the available memory; the rest is other people's
FREE_DISK = 512 << 20  # left over, so that nobody else's work fails


def refusals_of(estimate: Estimate, machine: Machine) -> list[Refusal]:
    refusals = (_does_not_fit(estimate, machine), _disk_is_full(estimate, machine))
    return [refusal for refusal in (*refusals, _over_budget(estimate)) if refusal]


def too_few(rows: int, left_out: int, config: TrainingConfig) -> Refusal:
    have, hint = f"{rows} row{'' if rows == 1 else 's'} to train on", "Add examples or sources."
    if left_out:
        have += f", and {left_out} more that are longer than {config.max_seq_len} tokens"
        hint = "Raise max_seq_len, or add rows."
    message = f"Not enough data: {have}; at least {MIN_ROWS} are needed."
    return Refusal("not_enough_data", message, hint)


def _does_not_fit(estimate: Estimate, machine: Machine) -> Refusal | None:
    config = estimate.config
    room = machine.memory_for(config)
    if not room or estimate.memory_bytes.high <= room * FREE_SHARE:
        return None
    where = f"the GPU ({machine.gpu})" if config.device == "cuda" else "this machine"
    method = "; full fine-tuning needs most, lora least" if config.method == "full" else ""
    return Refusal(
        "does_not_fit",
        f"This will not fit: training needs about {gigabytes(estimate.memory_bytes.expected)} of "
        f"memory, up to {gigabytes(estimate.memory_bytes.high)}, and {where} has "
        f"{gigabytes(room)} free.",
        f"Choose a smaller base, or lower max_seq_len or micro_batch_tokens{method}.",
    )


def _disk_is_full(estimate: Estimate, machine: Machine) -> Refusal | None:
    if not machine.disk_free or estimate.disk_bytes + FREE_DISK <= machine.disk_free:
        return None
    return Refusal(
        "not_enough_disk",
        f"Not enough disk: checkpoints and artifacts need {gigabytes(estimate.disk_bytes)}, and "
        f"{gigabytes(machine.disk_free)} are free.",
        "Delete models that are no longer used, or ask the operator for space.",
    )


def _over_budget(estimate: Estimate) -> Refusal | None:
    wanted = min(USEFUL_STEPS, estimate.unbudgeted_steps)
    if estimate.steps >= wanted:
        return None
    given = estimate.config.to_json()
    names = [name for name in BUDGETS if given[name]]
    needed = estimate.seconds_per_step * wanted / 60
    return Refusal(
        "over_budget",
        f"The budget ({' and '.join(names)}) ends after {estimate.steps} "
        f"step{'' if estimate.steps == 1 else 's'}; fewer than {wanted} teach a model nothing.",
        f"{wanted} steps take about {needed:.1f} minutes of training: raise the budget, choose a "
        "smaller base, or lower tokens_per_batch.",
    )


def notes_of(estimate: Estimate, facts: Facts, machine: Machine) -> list[str]:
    config, left_out, runs = estimate.config, estimate.rows_left_out, machine.runs_seen
    has_budget = bool(config.max_minutes or config.max_train_tokens)
    notes = {
        "The machine has not been measured yet, so times are rough: a training worker measures it "
        "when it starts.": not machine.is_measured,
        "There is no dataset yet: tokens are guessed from the rows requested.": (
            not facts.data.is_counted
        ),
        f"{left_out} rows are longer than {config.max_seq_len} tokens and are left out.": left_out,
        f"The budget ends the run after about {estimate.steps} of {estimate.unbudgeted_steps} "
        "steps; the learning rate falls to its last by then, and the best checkpoint is kept.": (
            has_budget and estimate.steps < estimate.unbudgeted_steps
        ),
        f"Corrected by {runs} earlier run{'s' * (runs > 1)} here: time × {machine.time_ratio:.2f}, "
        f"memory × {machine.memory_ratio:.2f}.": runs,
    }
    return [note for note, applies in notes.items() if applies]


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
