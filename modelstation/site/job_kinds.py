"""What workers run: each kind of job, and each task that runs at regular times.

The one place that names tasks by their dotted paths: only a worker imports them. The table of jobs
is installed at start-up (modelstation.apps)."""

from dataclasses import dataclass

from distillation.hub.services import settle_ended_search
from distillation.imports.services import settle_ended_import
from distillation.labelling.services import settle_ended_labelling
from distillation.pushes.services import settle_ended_push
from distillation.teachers.services import settle_ended_run
from models_app.bases.fetching import settle_ended_fetch
from modelstation.core.jobs.kinds import Kind
from modelstation.core.jobs.queue import QUEUES
from training.builds.ends import settle_ended_job
from training.export.pushes import settle_ended_push as settle_ended_export_push
from training.export.services import settle_ended_export

JOB_KINDS = {
    "import": Kind("distillation.tasks.run_import", "distil", settle_ended_import),
    "label": Kind("distillation.tasks.run_labelling", "distil", settle_ended_labelling),
    "distil": Kind("distillation.tasks.run_distillation", "distil", settle_ended_job),
    "log_rows": Kind("distillation.tasks.run_log_rows", "distil", settle_ended_import),
    "hub_import": Kind("distillation.tasks.run_hub_import", "distil", settle_ended_import),
    "hub_search": Kind("distillation.tasks.run_hub_search", "distil", settle_ended_search),
    "teach": Kind("distillation.tasks.run_teaching", "distil", settle_ended_run),
    "push": Kind("distillation.tasks.run_push", "default", settle_ended_push),
    "fetch": Kind("models_app.tasks.run_fetch", "distil", settle_ended_fetch),
    "freeze": Kind("training.tasks.run_freezing", "distil", settle_ended_job),
    "train": Kind("training.tasks.run_training", "gpu", settle_ended_job),
    "evaluate": Kind("training.tasks.run_evaluation", "gpu", settle_ended_job),
    "export": Kind("training.tasks.run_export", "gpu", settle_ended_export),
    "push_export": Kind("training.tasks.run_export_push", "default", settle_ended_export_push),
}

MINUTE, DAY = "I", "D"  # as django-q2 has them


@dataclass(frozen=True)
class Scheduled:
    name: str
    task: str
    queue: str = "default"
    every: str = MINUTE
    argument: str = ""
    starts: tuple[tuple[str, int], ...] = (("", 0),)  # (suffix of the name, delay in seconds)


# A schedule knows whole minutes: what runs every half minute has two.
TWICE_A_MINUTE = (("", 0), (", half a minute later", 30))
TASKS = "modelstation.core.jobs.tasks"
CANARIES = [
    Scheduled(f"canary {queue}", f"{TASKS}.canary", queue, argument=queue, starts=TWICE_A_MINUTE)
    for queue in QUEUES
]
SCHEDULED = (
    *CANARIES,
    Scheduled("reaper", f"{TASKS}.reap", starts=TWICE_A_MINUTE),
    Scheduled("mails", "models_app.mails.send_waiting"),
    Scheduled("webhooks", "models_app.webhooks.services.send_waiting"),
    Scheduled("expired exports", "training.tasks.clean_exports", every=DAY),
    Scheduled(
        "expired stored answers", "models_app.gateway.stored.services.delete_expired", every=DAY
    ),
    Scheduled("measure the machine", "training.tasks.measure_machine", "gpu", every=DAY),
)
