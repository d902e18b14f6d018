"""An organisation that is deleted leaves nothing on the disk, and takes nothing of another's."""

import pytest
from django.urls import reverse

from accounts.models import Organization, User
from distillation.models import CorpusExample, DatasetRow, ImportRun, SourceDataset
from models_app.models import ModelVersion
from modelstation import testing
from modelstation.core.jobs import jobs
from modelstation.core.jobs.lease import LeaseLost
from modelstation.core.models import Job
from training.models import Export
from training.removal import delete_organization
from training.tests.planted_runs import make_run

pytestmark = pytest.mark.django_db(transaction=True)


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return paths


def files_of(org, artifacts_dir, uploads_dir):
    """One of each kind, with their rows."""
    model = testing.make_model(org)
    version = ModelVersion.objects.create(
        org=org, model=model, number=1, base=model.base, folder=f"{model.id}/versions/1"
    )
    export = Export.objects.create(org=org, version=version, folder="x/files/1")
    run = ImportRun.objects.create(org=org, upload=f"{org.id}/1/file/a.csv")
    return touch(
        artifacts_dir / version.folder / "adapter" / "weights",
        artifacts_dir / str(version.model_id) / "checkpoints" / "step-4",
        artifacts_dir / str(version.model_id) / "datasets" / "train.jsonl",
        artifacts_dir / str(export.id) / "files" / "1" / "bundle.zip",
        uploads_dir / str(org.id) / str(run.id) / "file" / "a.csv",
        uploads_dir / str(org.id) / "files" / "1" / "file" / "rows.jsonl",
    )


@pytest.fixture
def own(org, artifacts_dir, uploads_dir):
    return files_of(org, artifacts_dir, uploads_dir)


@pytest.fixture
def strangers(charlie, artifacts_dir, uploads_dir):
    return files_of(charlie.organizations.get(), artifacts_dir, uploads_dir)


@pytest.fixture
def as_operator(client, db):
    client.force_login(testing.make_user("operator@example.org", is_staff=True, is_superuser=True))
    return client


def test_a_strangers_files_and_rows_stay(alice, org, own, strangers):
    delete_organization(actor=alice, org=org)

    assert all(path.is_file() for path in strangers)
    assert Organization.objects.get().name == "Elsewhere"
    assert Export.objects.count() == 1


def test_all_its_files_go_and_its_people_stay(alice, org, own, artifacts_dir, uploads_dir):
    delete_organization(actor=alice, org=org)

    assert not [*artifacts_dir.iterdir(), *uploads_dir.iterdir()]
    assert User.objects.filter(email="bob@example.org").exists()


def test_a_file_that_is_missing_hurts_nobody(alice, org, own, artifacts_dir):
    own[0].unlink()
    own[-1].unlink()

    delete_organization(actor=alice, org=org)

    assert not list(artifacts_dir.iterdir())


def test_a_deletion_that_is_rolled_back_takes_no_file(alice, org, own, monkeypatch):
    def fail(self, *args, **options):
        raise RuntimeError("the database is away")

    monkeypatch.setattr(Organization, "delete", fail)
    with pytest.raises(RuntimeError):
        delete_organization(actor=alice, org=org)

    assert all(path.is_file() for path in own)
    assert Organization.objects.filter(id=org.id).exists()


def test_what_a_job_at_work_writes_goes_as_it_ends(alice, org, own, artifacts_dir):
    model = Export.objects.get().version.model
    job = jobs.submit(kind="train", org=org, subject_id=model.id)

    def work(job, lease):
        delete_organization(actor=alice, org=Organization.objects.get(id=org.id))
        touch(artifacts_dir / str(model.id) / "versions" / f"{job.id}-1" / "weights")
        with pytest.raises(LeaseLost):
            lease.beat()
        raise LeaseLost

    jobs.run_job(str(job.id), work)

    assert not list(artifacts_dir.iterdir())
    assert not Job.objects.exists()


def test_its_rows_go_too_those_that_point_at_each_other(alice, org, artifacts_dir, uploads_dir):
    source = SourceDataset.objects.create(name="tickets", license="MIT", org=org)
    example = CorpusExample.objects.create(
        source=source, content_hash="a", license="MIT", messages=[], tokens=1, embedding=[0.0] * 384
    )
    dataset = make_run(testing.make_model(org)).dataset_version
    DatasetRow.objects.create(
        version=dataset, position=0, split="train", messages=[], source=source, example=example,
        source_name="tickets", license="MIT", content_hash="a", score=1, reason="near",
    )  # fmt: skip

    delete_organization(actor=alice, org=org)

    assert not DatasetRow.objects.exists()
    assert not CorpusExample.objects.exists()


def test_an_operator_deletes_it_in_the_admin(as_operator, org, own, strangers, artifacts_dir):
    page = as_operator.get(reverse("admin:accounts_organization_delete", args=[org.pk]))
    assert "with their files" in page.content.decode()

    as_operator.post(
        reverse("admin:accounts_organization_changelist"),
        {"action": "delete_selected", "_selected_action": [str(org.pk)], "post": "yes"},
    )

    assert not any(path.exists() for path in own)
    assert all(path.is_file() for path in strangers)
