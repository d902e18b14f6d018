"""A dataset as the runner makes it, of the small bank corpus."""

from distillation import runner
from distillation.models import DatasetVersion
from distillation.tests.pipeline.test_generator import BANK
from modelstation.core.jobs import jobs
from modelstation.testing import make_model

HELD_OUT = {"input": "is it lost?", "output": "lost_card"}


def distil_for(org, **fields):
    """Needs the fixture `_corpus`. A hundred rows, and one that the user held out."""
    wanted = {
        "requirement": BANK.text,
        "objective": BANK.objective,
        "policy": BANK.policy,
        "examples": [{"input": e.input, "output": e.output} for e in BANK.examples],
        "test_rows": [HELD_OUT],
        "rows": 100,
    }
    model = make_model(org, **(wanted | fields))
    job = jobs.submit(kind="distil", org=org, subject_id=model.id)
    jobs.run_job(str(job.id), runner.distil)
    return DatasetVersion.objects.select_related("model", "run", "org").get(model=model)
