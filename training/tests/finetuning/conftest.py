"""A base, a client, a file, and a job in training."""

import pytest

from models_app.models import CustomModel
from modelstation import testing
from modelstation.core.models import Job
from training.tests.finetuning.requests import create, root_of, upload
from training.tests.finetuning.rows import chat_file
from training.tests.planted_runs import make_run


@pytest.fixture
def base(db, settings, tmp_path):
    settings.MODELS_DIR = tmp_path / "none"  # what it would take is guessed
    return testing.make_base()


@pytest.fixture
def api(api_for, alice, uploads_dir, artifacts_dir, base):
    return api_for(alice)


@pytest.fixture
def file(api):
    return upload(api, *chat_file(20))


@pytest.fixture
def trained(api, file):
    """A job of this API that is in training: (its first job, its run)."""
    create(api, file)
    freeze = Job.objects.get(kind="freeze")
    Job.objects.filter(id=freeze.id).update(state="succeeded")
    run = make_run(CustomModel.objects.get())
    distil = root_of(run)
    run.dataset_version.run.job = freeze
    run.dataset_version.run.save()
    distil.delete()
    return freeze, run
