"""Send a wake-up hint to a queue. Called inside atomic(): the hint is committed, or rolled back,
with its row.
"""

from django_q.tasks import async_task

QUEUES = ("default", "distil", "gpu")


def enqueue(task: str, argument: str, *, queue: str = "default") -> None:
    """`task` is a dotted path, so that the caller never imports what the worker runs. Only ids
    travel (they are pickled).
    """
    options = {} if queue == "default" else {"cluster": queue}
    async_task(task, argument, **options)
