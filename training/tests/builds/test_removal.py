"""Names of versions and checkpoints, and DELETE /v1/models/{name}."""

import pytest

from accounts.models import AuditEntry
from models_app.gateway.model_resolver import all_served, served_by, tuned_name
from models_app.models import CustomModel, ModelVersion
from modelstation import testing
from modelstation.core.models import Job
from modelstation.testing import make_base, make_model, make_org

pytestmark = pytest.mark.django_db
ARTIFACTS = {"gguf": {"facts": {"best_step": 40}}, "adapter": {}, "ckpt-step-60": {}}


@pytest.fixture
def model(org):
    return make_model(org)


@pytest.fixture
def version(model, artifacts_dir):
    return make_version(model, 1)


@pytest.fixture
def api(api_for, alice, artifacts_dir):
    return api_for(alice)


def make_version(model, number, state="ready"):
    from django.conf import settings

    version = testing.make_version(model, number=number, state=state, artifacts=ARTIFACTS)
    for kind in ARTIFACTS:
        folder = settings.ARTIFACTS_DIR / version.folder / kind
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    return version


def error_of(response, status):
    assert response.status_code == status, response.content
    error = response.json()["error"]
    return error["code"], error["param"]


def live(version):
    CustomModel.objects.filter(id=version.model_id).update(live_version=version)


# --- Names ----------------------------------------------------------------------------------------


def test_a_tuned_name_serves_its_version_and_no_other(org, model, version):
    other = make_version(model, 2, state="draft")
    name = tuned_name(version)

    assert name.startswith("ft:smollm2-135m-instruct:acme:bank-intents:")
    assert served_by(org, name).version == version
    assert served_by(org, tuned_name(other)).version == other
    assert served_by(org, name).name == name


def test_a_tuned_name_is_nobody_elses(version, charlie):
    elsewhere = charlie.organizations.get()
    name = tuned_name(version)

    assert served_by(elsewhere, name) is None
    assert served_by(elsewhere, name.replace(":acme:", f":{elsewhere.slug}:")) is None
    assert name not in [served.name for served in all_served(elsewhere)]


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("smollm2-135m-instruct", "other-base"),
        (":acme:", ":elsewhere:"),
        (":bank-intents:", ":other:"),
        ("ft:", "xx:"),
    ],
)
def test_every_part_of_a_tuned_name_must_fit(org, version, part, wrong):
    assert served_by(org, tuned_name(version).replace(part, wrong)) is None


def test_a_checkpoint_is_served_from_its_own_folder(org, version):
    name = tuned_name(version)

    kept = served_by(org, f"{name}:ckpt-step-60")
    best = served_by(org, f"{name}:ckpt-step-40")

    assert kept.tokenizer_folder.name == kept.gguf.parent.name == "ckpt-step-60"
    assert best.tokenizer_folder.name == "gguf"  # the best one is the version itself
    for other in ("ckpt-step-20", "ckpt-step-", "ckpt-step-x", "adapter"):
        assert served_by(org, f"{name}:{other}") is None


# --- Strangers first ------------------------------------------------------------------------------


def test_a_stranger_deletes_nothing(stranger, version):
    live(version)
    for name in ("bank-intents", "bank-intents:v1", tuned_name(version)):
        assert error_of(stranger.delete(f"/v1/models/{name}"), 404) == ("model_not_found", "model")
    assert ModelVersion.objects.count() == 1


def test_a_base_is_the_operators(api, version):
    error = error_of(api.delete("/v1/models/smollm2-135m-instruct"), 403)

    assert error[0] == "insufficient_permissions"
    make_base("absent", is_installed=False)
    assert error_of(api.delete("/v1/models/absent"), 404)[0] == "model_not_found"


@pytest.mark.parametrize("name", ["ft:a:acme:b:000000000000", "no such name"])
def test_a_name_that_nothing_can_have_is_not_found(api, version, name):
    for ask in (api.get, api.delete):
        assert error_of(ask(f"/v1/models/{name}"), 404) == ("model_not_found", "model")


# --- Deletion -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pinned", [True, False])
def test_deleting_a_version_unpublishes_it_and_leaves_the_model(
    api, alice, model, version, artifacts_dir, pinned, django_capture_on_commit_callbacks
):
    live(version)
    kept = make_version(model, 2)
    name = "bank-intents:v1" if pinned else tuned_name(version)

    with django_capture_on_commit_callbacks(execute=True):
        body = api.delete(f"/v1/models/{name}").json()

    assert body == {"id": name, "object": "model", "deleted": True}
    model.refresh_from_db()
    assert model.live_version is None
    assert list(model.versions.all()) == [kept]
    assert not (artifacts_dir / version.folder).exists()
    assert (artifacts_dir / kept.folder / "gguf").is_dir()
    assert AuditEntry.objects.get(action="version.delete").actor == alice
    assert error_of(api.delete(f"/v1/models/{name}"), 404)[0] == "model_not_found"


def test_deleting_a_slug_deletes_its_model_live_or_not(api, model, version):
    Job.objects.create(org=model.org, kind="train", queue="gpu", subject_id=model.id)

    assert api.delete("/v1/models/bank-intents").json()["deleted"] is True

    assert not CustomModel.objects.exists()
    assert not Job.objects.exists()


def test_deleting_a_checkpoint_leaves_its_version(
    api, org, version, artifacts_dir, django_capture_on_commit_callbacks
):
    name = f"{tuned_name(version)}:ckpt-step-60"

    with django_capture_on_commit_callbacks(execute=True):
        assert api.delete(f"/v1/models/{name}").json()["deleted"] is True

    assert served_by(org, name) is None
    assert not (artifacts_dir / version.folder / "ckpt-step-60").exists()
    best = f"{tuned_name(version)}:ckpt-step-40"
    refused = api.delete(f"/v1/models/{best}")
    assert error_of(refused, 409) == ("version_in_use", None)
    assert refused["x-should-retry"] == "false"
    assert served_by(org, best)


def test_a_version_that_is_being_evaluated_stays(api, model, version):
    job = Job.objects.create(org=model.org, kind="evaluate", queue="gpu", subject_id=model.id)

    assert error_of(api.delete("/v1/models/bank-intents:v1"), 409)[0] == "version_in_use"

    Job.objects.filter(id=job.id).update(state="succeeded")
    assert api.delete("/v1/models/bank-intents:v1").status_code == 200


def test_the_same_slug_elsewhere_is_untouched(api, version, charlie):
    other = make_model(make_org("Third", owner=charlie))

    api.delete("/v1/models/bank-intents")

    assert list(CustomModel.objects.all()) == [other]
