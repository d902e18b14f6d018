"""Why a job failed, in words: one table for the page, the API, the terminal and the e-mail."""

from dataclasses import dataclass

from modelstation.core.models import Job


@dataclass(frozen=True)
class Failure:
    """What happened and what to try. A job's own sentence, which knows the numbers, goes first."""

    code: str
    sentence: str
    advice: str


# code: (what happened, what to try)
SENTENCES = {
    "diverged": (
        "Training diverged: the loss is no longer a number.",
        "Use a learning_rate a quarter as high, or dtype float32, and start again.",
    ),
    "oom_killed": (
        "The machine ran out of memory while it worked.",
        "Use a smaller micro_batch_tokens or max_seq_len, or a smaller base.",
    ),
    "gpu_oom": (
        "The GPU ran out of memory, with the smallest batch that was tried too.",
        "Use a smaller max_seq_len or a smaller base, or free the GPU of other work.",
    ),
    "no_progress": (
        "The work stood still for too long, so it was ended.",
        "Queue it again: it goes on from its last checkpoint if it has one. If it stands still "
        "again, ask the operator to look at the worker.",
    ),
    "crash_loop": (
        "The worker died several times while doing this, most likely because memory ran out.",
        "Use a smaller micro_batch_tokens or a smaller base. If that does not help, ask the "
        "operator to look at the worker's log.",
    ),
    "disk_full": (
        "No disk space is left. Nothing half-written was kept.",
        "Free some space, or delete models you no longer need, and start again.",
    ),
    "over_budget": (
        "The budget of minutes or tokens is too small for a result.",
        "Raise max_minutes or max_tokens, or ask for fewer rows.",
    ),
    "not_enough_data": (
        "There are too few rows to train on.",
        "Bring rows of your own on the page of the model's data, or use a source that it shows.",
    ),
    "does_not_fit": (
        "This does not fit into the memory of the machine.",
        "Use a smaller base, a smaller max_seq_len or the method lora.",
    ),
    "not_enough_disk": (
        "There is not enough disk space for checkpoints and artifacts.",
        "Free some space, or delete models you no longer need, and start again.",
    ),
    "child_crashed": (
        "The process that did the work ended without a result.",
        "Queue it again. If it ends so again, ask the operator to look at the worker's log.",
    ),
    "internal_error": (
        "Something went wrong on our side.",
        "Try again; if it fails again, ask the operator, who can see the details.",
    ),
}


def failure_of(job: Job) -> Failure | None:
    """Of a job that failed; a code that is not in the table has its own sentence alone."""
    if job.state != Job.State.FAILED:
        return None
    sentence, advice = SENTENCES.get(job.error_code, ("The work failed.", ""))
    return Failure(job.error_code, job.error_text or sentence, advice)
