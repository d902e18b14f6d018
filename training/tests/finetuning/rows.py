"""Rows and files for tests of OpenAI's surface."""

import json

from modelstation.core.jobs.kinds import run_task
from modelstation.core.models import Job

LABELS = ("refund", "login", "delivery")


def chat_row(number, system="Label the ticket.", **answer):
    label = LABELS[number % len(LABELS)]
    messages = [
        {"role": "user", "content": f"Ticket {number} about {label}"},
        {"role": "assistant", "content": label, **answer},
    ]
    return {"messages": [{"role": "system", "content": system}, *messages] if system else messages}


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def chat_file(count=40, **options):
    return "tickets.jsonl", jsonl(chat_row(i, **options) for i in range(count))


def work_off(kinds=("freeze", "train", "evaluate")):
    """Be the workers: run every queued job of these kinds until none is left."""
    queued = Job.objects.filter(state=Job.State.QUEUED, kind__in=kinds).order_by("created_at")
    while job := queued.first():
        run_task(job.kind, str(job.id))
