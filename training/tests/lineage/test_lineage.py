import pytest
from django.conf import settings
from django.urls import reverse

from distillation.tests.distilled import distil_for
from distillation.tests.test_runner import _corpus  # noqa: F401
from models_app.models import ModelVersion
from modelstation import testing
from modelstation.core.artifacts import write_artifact
from modelstation.core.jobs import jobs
from training.lineage.services import lineage_of_model
from training.models import EvaluationRun, EvaluationScore, TrainingRun

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_corpus", "artifacts_dir")]


def make_version(dataset, number=1):
    """Trained on the dataset and measured, with two artifacts."""
    model, org = dataset.model, dataset.org
    folder = f"{model.id}/versions/{number}"
    artifacts = {
        kind: write_artifact(
            settings.ARTIFACTS_DIR / folder / kind,
            lambda target: (target / "weights.bin").write_bytes(b"weights"),
            kind=kind,
            facts={},
        )
        for kind in ("adapter", "gguf")
    }
    version = testing.make_version(
        model,
        number=number,
        dataset_digest=dataset.digest,
        folder=folder,
        artifacts=artifacts,
        state="ready",
    )
    job = jobs.submit(kind="train", org=org, subject_id=model.id)
    TrainingRun.objects.create(
        org=org,
        job=job,
        model=model,
        dataset_version=dataset,
        version=version,
        resolved_config={"learning_rate": 0.0005},
    )
    evaluation = EvaluationRun.objects.create(
        org=org,
        job=jobs.submit(kind="evaluate", org=org, subject_id=model.id),
        model=model,
        version=version,
        metric="exact_match",
        verdict="pass",
        test_count=25,
        folder=f"{folder}-evaluation",
    )
    EvaluationScore.objects.create(run=evaluation, subject="tuned", metric="exact_match", score=0.9)
    write_artifact(
        settings.ARTIFACTS_DIR / evaluation.folder,
        lambda target: (target / "report.json").write_text("{}"),
        kind="evaluation",
        facts={},
    )
    return version


@pytest.fixture
def dataset(org):
    return distil_for(org)


@pytest.fixture
def version(dataset):
    return make_version(dataset)


def problems(model, **how):
    result = lineage_of_model(model, **how)
    return {check.name: check.problems for check in result.all_checks if check.problems}


def page_of(client, model, query=""):
    return client.get(reverse("model_lineage", args=[model.org.slug, model.id]) + query)


def test_a_stranger_sees_no_lineage(version, as_charlie, api_for, charlie):
    assert page_of(as_charlie, version.model).status_code == 404
    api = api_for(charlie, charlie.organizations.get())
    assert api.get(f"/api/v1/models/{version.model_id}/lineage").status_code == 404
    assert api.get(f"/api/v1/versions/{version.id}/lineage").status_code == 404


def test_the_whole_descent_is_shown_and_verified(version, dataset, api_for, bob):
    body = api_for(bob).get(f"/api/v1/models/{version.model_id}/lineage?deep=true").json()
    assert body["verdict"] == "verified"
    assert body["version"]["number"] == 1
    assert body["version"]["artifacts"]["gguf"]["files"][0]["path"] == "weights.bin"
    assert body["training"]["resolved_config"] == {"learning_rate": 0.0005}
    assert body["training"]["dataset_version"] == body["dataset"]["dataset"]["id"]
    assert body["evaluation"]["scores"][0]["score"] == 0.9
    assert body["dataset"]["dataset"]["digest"] == dataset.digest
    assert body["requirement"]["requirement"] == dataset.model.requirement
    assert [check["name"] for check in body["checks"]] == [
        "Trained on",
        "Files: adapter",
        "Files: gguf",
        "Evaluation",
    ]


def test_the_page_shows_each_part(version, dataset, as_bob):
    text = page_of(as_bob, version.model).content.decode()
    for shown in (
        dataset.digest,
        "Verified: all is as it was frozen",
        "learning_rate",
        "weights.bin",
    ):
        assert shown in text
    assert reverse("dataset_lineage", args=[version.org.slug, dataset.id]) in text


def test_a_version_of_another_digest_is_noticed(version):
    ModelVersion.objects.update(dataset_digest="e" * 64)
    [problem] = problems(version.model)["Trained on"]
    assert problem.startswith("Dataset 1 is ")


def test_an_altered_model_file_is_noticed_by_its_bytes_on_request(version):
    path = settings.ARTIFACTS_DIR / version.folder / "gguf" / "weights.bin"
    path.write_bytes(b"WEIGHTS")
    assert problems(version.model) == {}
    assert problems(version.model, deep=True) == {
        "Files: gguf": ("weights.bin has changed since it was written.",)
    }
    path.write_bytes(b"much longer weights")
    assert problems(version.model) == {
        "Files: gguf": ("weights.bin is missing, or of another size.",)
    }


def test_an_artifact_replaced_with_its_manifest_is_noticed(version):
    write_artifact(
        settings.ARTIFACTS_DIR / version.folder / "gguf",
        lambda target: (target / "weights.bin").write_bytes(b"other"),
        kind="gguf",
        facts={},
    )
    assert problems(version.model) == {
        "Files: gguf": ("weights.bin is not the file that was recorded.",)
    }


def test_the_served_version_comes_first_and_others_on_request(version, dataset, as_bob):
    newer = make_version(dataset, number=2)
    model = dataset.model
    assert lineage_of_model(model).version == newer
    model.live_version = version
    model.save()
    assert "Lineage of version 1" in page_of(as_bob, model).content.decode()
    assert "Lineage of version 2" in page_of(as_bob, model, "?version=2").content.decode()
    for junk in ("?version=9", "?version=x", "?version=-1", "?version=" + "9" * 30):
        assert page_of(as_bob, model, junk).status_code == 404


def test_a_dataset_without_a_version_and_a_model_without_anything(dataset, org, as_bob):
    assert lineage_of_model(dataset.model).dataset.dataset == dataset
    fresh = testing.make_model(org, name="Fresh")
    assert "No dataset yet" in page_of(as_bob, fresh).content.decode()


def test_the_number_of_questions_is_fixed(version, dataset, as_bob, django_assert_num_queries):
    page_of(as_bob, version.model)
    with django_assert_num_queries(13):
        page_of(as_bob, version.model)
    dataset.rows.filter(position__gte=10).delete()
    for number in (2, 3):
        make_version(dataset, number=number)
    with django_assert_num_queries(13):
        page_of(as_bob, version.model)
