"""Pushes of exports: whose token, what is sent, what is refused."""

import zipfile

import pytest
import yaml
from django.urls import reverse

from accounts import services
from accounts.models import AuditEntry
from distillation.tests.pushes.fake_hub import FakeHub
from modelstation.core.errors import UserFacingError
from modelstation.core.models import Job, JobEvent
from modelstation.testing import make_model, make_version
from training import tasks
from training.export import services as exports
from training.export.pushes import submit_push
from training.models import Export, ExportPush

pytestmark = pytest.mark.django_db
TOKEN, OWN = "hf_forthispushaloneofacme", "hf_averysecrettokenofacme"
CARD = "---\nlicense: apache-2.0\nbase_model: acme/tiny\n---\n\n# Bank intents\n"
FILES = {
    "MODEL_CARD.md": CARD,
    "README.md": "How to run it.",
    "adapter/adapter_config.json": "{}",
    "gguf/model-q8_0.gguf": "weights",
    "manifest.json": "{}",
}


@pytest.fixture
def hub(monkeypatch, settings):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    hub = FakeHub()
    hub.tokens = {TOKEN: {"acme"}, OWN: {"acme"}}
    settings.HF_ENDPOINT = hub.url
    yield hub
    hub.close()


@pytest.fixture
def export(org, artifacts_dir):
    model = make_model(org)
    version = make_version(model)
    made = Export.objects.create(
        org=org,
        version=version,
        file_name="bank-intents-v1.zip",
        sha256="a" * 64,
        certificate={"verdict": "pass"},
    )
    exports.finish_export(
        export=made,
        packed=exports.PackedExport(
            f"{made.pk}/files/1", made.file_name, 0, "a" * 64, {}, {"verdict": "pass"}
        ),
    )
    made.refresh_from_db()
    file = exports.file_of(made)
    file.parent.mkdir(parents=True)
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(f"bank-intents-v1/{name}", text)
    return made


def pushed(export, actor, **fields):
    """Submitted and run, as a worker does it."""
    push = submit_push(actor=actor, export=export, repo_id="acme/bank", **fields)
    tasks.run_export_push(str(push.job_id))
    return ExportPush.objects.select_related("job").get(pk=push.pk)


def test_a_stranger_pushes_nothing_and_a_member_only_looks(
    hub, export, api_for, charlie, bob, alice
):
    url = f"/api/v1/exports/{export.pk}/pushes"
    body = {"repo_id": "acme/bank", "token": TOKEN}
    elsewhere = api_for(charlie, charlie.organizations.get())
    assert elsewhere.post(url, body, format="json").status_code == 404
    assert elsewhere.get(url).status_code == 404
    assert api_for(bob).post(url, body, format="json").status_code == 403
    assert not ExportPush.objects.exists()
    pushed(export, alice, token=TOKEN)
    assert api_for(bob).get(url).json()["results"][0]["state"] == "succeeded"


def test_a_push_is_a_private_model_repository_whose_readme_is_the_card(hub, export, alice):
    push = pushed(export, alice, token=TOKEN)
    assert push.job.state == "succeeded", push.job.error_text
    repository = hub.repositories["acme/bank"]
    assert (hub.kinds["acme/bank"], repository.private) == ("model", True)
    assert repository.files["README.md"].decode() == CARD
    assert repository.files["USE.md"] == b"How to run it."
    assert repository.files["gguf/model-q8_0.gguf"] == b"weights"
    assert yaml.safe_load(CARD.split("---\n")[1])["base_model"] == "acme/tiny"
    assert push.url == f"{hub.url}/acme/bank"
    assert push.commit == repository.commits[-1]


def test_the_same_export_is_not_committed_twice(hub, export, alice):
    first, second = (pushed(export, alice, token=TOKEN) for _ in "ab")
    assert (second.commit, second.is_new_commit) == (first.commit, False)
    assert len(hub.repositories["acme/bank"].commits) == 2


@pytest.mark.parametrize("fails", [False, True])
def test_the_token_is_sealed_while_it_waits_and_forgotten_after(hub, export, alice, fails):
    push = submit_push(actor=alice, export=export, repo_id="acme/bank", token=TOKEN)
    stored = ExportPush.objects.filter(pk=push.pk).extra(select={"raw": "token"})
    raw = stored.values_list("raw", flat=True).get()
    assert raw
    assert TOKEN not in str(raw)
    if fails:
        hub.fail("commit", 403)
    tasks.run_export_push(str(push.job_id))
    push = ExportPush.objects.select_related("job").get(pk=push.pk)
    assert push.token == ""
    assert push.job.state == ("failed" if fails else "succeeded")
    texts = [*JobEvent.objects.values_list("message", "data", "operator_detail")]
    texts += AuditEntry.objects.values_list("data", "target")
    assert TOKEN not in str(texts)


def test_without_a_token_the_organisations_own_is_used(hub, export, alice, org):
    with pytest.raises(UserFacingError, match="no token of the hub"):
        submit_push(actor=alice, export=export, repo_id="acme/bank")
    services.set_hub_token(actor=alice, org=org, token=OWN)
    export.refresh_from_db()
    assert pushed(export, alice).job.state == "succeeded"


def test_an_export_that_is_not_certified_is_not_published(hub, export, alice):
    export.certificate = {"verdict": "fail"}
    export.save()
    with pytest.raises(UserFacingError, match="did not pass"):
        submit_push(actor=alice, export=export, repo_id="acme/bank", token=TOKEN)
    assert not Job.objects.exists()


def test_an_export_whose_file_is_gone_is_not_pushed(hub, export, alice):
    exports.delete_export(actor=alice, export=Export.objects.get(pk=export.pk))
    with pytest.raises(Export.DoesNotExist):
        submit_push(actor=alice, export=export, repo_id="acme/bank", token=TOKEN)


def test_a_refused_token_is_a_sentence(hub, export, alice):
    push = pushed(export, alice, token="hf_unknown")
    assert push.job.error_code == "hub_token_refused"


def test_a_push_that_is_refused_keeps_what_was_typed_but_the_token(hub, export, as_alice, org):
    url = reverse("export_push", args=[org.slug, export.pk])
    page = as_alice.post(url, {"repo_id": "no slash", "token": TOKEN}).content.decode()
    assert "This is no name of a repository" in page
    assert 'value="no slash"' in page
    assert TOKEN not in page
    assert not ExportPush.objects.exists()


def test_an_admin_pushes_from_the_page(hub, export, as_alice, org):
    url = reverse("version_export", args=[org.slug, export.version_id])
    assert "Push to the Hugging Face Hub" in as_alice.get(url).content.decode()
    body = {"repo_id": "acme/bank", "token": TOKEN, "is_private": "on"}
    response = as_alice.post(reverse("export_push", args=[org.slug, export.pk]), body)
    assert response.status_code == 302
    assert ExportPush.objects.get().is_private
    assert TOKEN not in as_alice.get(url).content.decode()
