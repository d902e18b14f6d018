"""The work of a job of the kind "count": supervised, checkpointed and published like a training."""

import json
import os
from pathlib import Path

from django.conf import settings

from modelstation.core.jobs import jobs, kinds
from modelstation.core.jobs.supervisor import run_child
from modelstation.core.models import Job, JobEvent


def add_kind():
    task = "modelstation.tests.faults.work.run_count"
    kinds.install({"count": kinds.Kind(task, "gpu", settle=lambda job: None)})


def run_count(job):
    jobs.run_job(job, count)


def count(job, lease):
    root = Path(settings.ARTIFACTS_DIR) / str(job.subject_id)
    folder = root / "versions" / f"{job.id}-{job.attempt}"
    ask = json.loads((root / "ask.json").read_text())
    if ask.get("kills_its_worker"):
        os.kill(os.getpid(), 9)
    spec = ask | {
        "attempt": job.attempt,
        "out_dir": str(folder),
        "checkpoints_dir": ask.get("checkpoints_dir") or str(root / "checkpoints"),
        "log": str(root / "steps.log"),
        "overrides": job.overrides,
    }
    spec_file = root / "jobs" / f"{job.id}-{job.attempt}" / "spec.json"
    spec_file.parent.mkdir(parents=True, exist_ok=True)
    spec_file.write_text(json.dumps(spec))
    stage = ""

    def report(event):
        nonlocal stage
        if event["event"] == "checkpoint":
            lease.emit(JobEvent.Kind.CHECKPOINT, data={"step": event["step"]})
            return
        if event["stage"] != stage:
            stage = event["stage"]
            lease.stage(stage, f"Stage {stage}")
        lease.progress(step=event["step"], total_steps=event["total_steps"])

    result = run_child(
        "modelstation.tests.faults.counter",
        str(spec_file),
        lease=lease,
        on_event=report,
        can_pause=True,
        when_gpu_oom={"micro_batch_tokens": 256},
    )

    def publish():
        facts = {"step": ask["steps"], "total_steps": ask["steps"], "folder": str(folder)}
        Job.objects.filter(id=job.id).update(progress=facts | {"digest": result["digest"]})

    return publish
