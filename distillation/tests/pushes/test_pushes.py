import json
import logging

import pytest
import yaml
from django.conf import settings as django_settings
from django.urls import reverse

from accounts import services
from accounts.models import AuditEntry, Organization
from distillation import tasks
from distillation.models import DatasetPush
from distillation.pushes.services import submit_push
from distillation.tests.distilled import distil_for
from distillation.tests.pushes.fake_hub import FakeHub
from distillation.tests.test_runner import _corpus  # noqa: F401
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job, JobEvent

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_corpus", "artifacts_dir")]
TOKEN = "hf_averysecrettokenofacme"


@pytest.fixture
def hub(monkeypatch, settings):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    hub = FakeHub()
    hub.tokens[TOKEN] = {"acme"}
    settings.HF_ENDPOINT = hub.url
    yield hub
    hub.close()


@pytest.fixture
def dataset(org, alice):
    services.set_hub_token(actor=alice, org=org, token=TOKEN)
    return distil_for(org)


def pushed(dataset, actor, repo_id="acme/bank", **fields):
    """Submit and run it, as a worker does."""
    push = submit_push(actor=actor, dataset=dataset, repo_id=repo_id, **fields)
    tasks.run_push(str(push.job_id))
    return DatasetPush.objects.select_related("job").get(pk=push.pk)


def folder_of(dataset):
    return django_settings.ARTIFACTS_DIR / dataset.folder


def test_a_stranger_pushes_nothing(hub, dataset, as_charlie, api_for, charlie):
    for name in ("dataset_push", "dataset_pushes"):
        url = reverse(name, args=[dataset.org.slug, dataset.id])
        call = as_charlie.post if name == "dataset_push" else as_charlie.get
        assert call(url, {"repo_id": "acme/bank"}).status_code == 404
    api = api_for(charlie, charlie.organizations.get())
    url = f"/api/v1/datasets/{dataset.id}/pushes"
    assert api.get(url).status_code == 404
    assert api.post(url, {"repo_id": "acme/bank"}, format="json").status_code == 404
    assert not DatasetPush.objects.exists()


def test_a_member_sees_pushes_and_makes_none(hub, dataset, as_bob, api_for, bob, alice):
    pushed(dataset, alice)
    url = reverse("dataset_push", args=[dataset.org.slug, dataset.id])
    assert as_bob.post(url, {"repo_id": "acme/bank"}).status_code == 403
    page = as_bob.get(reverse("dataset", args=[dataset.org.slug, dataset.id])).content.decode()
    assert "acme/bank" in page
    assert "Push to the hub" not in page
    api, url = api_for(bob), f"/api/v1/datasets/{dataset.id}/pushes"
    assert api.post(url, {"repo_id": "acme/bank"}, format="json").status_code == 403
    assert api.get(url).json()["results"][0]["state"] == "succeeded"


def test_a_push_is_private_unless_stated_otherwise_and_is_one_commit(hub, dataset, alice):
    push = pushed(dataset, alice)
    repository = hub.repositories["acme/bank"]
    assert (push.job.state, repository.private, len(repository.commits)) == ("succeeded", True, 2)
    assert (push.commit, push.digest) == (repository.commits[-1], dataset.digest)
    assert (push.url, push.is_new_commit) == (f"{hub.url}/datasets/acme/bank", True)


def test_all_files_arrive_as_they_were_frozen(hub, dataset, alice):
    pushed(dataset, alice)
    files = hub.repositories["acme/bank"].files
    names = {"train.jsonl", "valid.jsonl", "test.jsonl", "dataset.parquet", "README.md"}
    assert set(files) == names | {"modelstation.json", ".gitattributes"}
    for name in names:
        assert files[name] == (folder_of(dataset) / name).read_bytes()
    head = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert head["license"] == "mit"
    assert json.loads(files["modelstation.json"])["digest"] == dataset.digest


def test_large_files_go_over_lfs_without_the_token(hub, dataset, alice):
    hub.lfs_from_bytes = 200
    push = pushed(dataset, alice)
    assert push.job.state == "succeeded"
    assert len(hub.uploaded) == 5  # all but the marker, and the Parquet file among them
    assert {"batch", "upload", "verify"} <= set(hub.calls)


def test_the_same_digest_is_never_committed_twice(hub, dataset, alice):
    first = pushed(dataset, alice)
    second = pushed(dataset, alice)
    assert len(hub.repositories["acme/bank"].commits) == 2
    assert (second.commit, second.is_new_commit) == (first.commit, False)
    assert hub.calls.count("commit") == 1


def test_a_push_that_died_after_its_commit_ends_well_when_run_again(hub, dataset, alice):
    push = submit_push(actor=alice, dataset=dataset, repo_id="acme/bank")
    hub.add("acme/bank").files["modelstation.json"] = json.dumps(
        {"digest": dataset.digest}
    ).encode()
    tasks.run_push(str(push.job_id))
    push.refresh_from_db()
    assert (push.job.state, push.is_new_commit) == ("succeeded", False)


def test_another_dataset_is_a_new_commit_on_top(hub, dataset, alice):
    pushed(dataset, alice)
    repository = hub.repositories["acme/bank"]
    repository.files["modelstation.json"] = b'{"digest": "of an older dataset"}'
    assert pushed(dataset, alice).is_new_commit
    repository.files["modelstation.json"] = b"edited by hand"
    assert pushed(dataset, alice).is_new_commit
    assert len(repository.commits) == 4


def test_a_private_push_never_goes_into_a_public_repository(hub, dataset, alice):
    public = hub.add("acme/bank", private=False)
    push = pushed(dataset, alice)
    assert push.job.error_code == "hub_repo_is_public"
    assert len(public.commits) == 1
    assert pushed(dataset, alice, is_private=False).job.state == "succeeded"


def test_a_repository_with_other_things_in_it_is_not_overwritten(hub, dataset, alice):
    other = hub.add("acme/bank", private=True)
    other.files["README.md"] = b"# Mine"
    push = pushed(dataset, alice)
    assert push.job.error_code == "hub_repo_is_not_ours"
    assert other.files["README.md"] == b"# Mine"


@pytest.mark.parametrize(
    ("kind", "status", "error", "code", "hint"),
    [
        ("create", 401, "Invalid", "hub_token_refused", "Store a new one"),
        ("create", 403, "no rights", "hub_forbidden", "right to write to acme"),
        ("commit", 403, "Private repository storage limit reached", "hub_quota", "storage"),
        ("commit", 402, "payment required", "hub_quota", "plan"),
        ("create", 404, "organization not found", "hub_not_found", "spelling"),
        ("commit", 409, "another operation", "hub_conflict", "Push again"),
        ("commit", 412, "a commit has happened since", "hub_conflict", "Push again"),
        ("create", 429, "slow down", "hub_busy", "Wait"),
        ("create", 503, "down", "hub_trouble", "later"),
        ("commit", 400, "odd", "hub_refused", "operator"),
        ("validate", 400, "bad yaml", "hub_refused", "operator"),
        ("upload", 403, "expired link", "hub_forbidden", "right to write"),
    ],
)
def test_what_the_hub_refuses_is_said_in_plain_words(
    hub, dataset, alice, kind, status, error, code, hint
):
    hub.fail(kind, status, error)
    push = pushed(dataset, alice)
    assert (push.job.state, push.job.error_code) == ("failed", code)
    assert hint in push.job.error_text
    assert (push.commit, push.url) == ("", "")
    assert AuditEntry.objects.get(action="dataset.push_failed").data == {"code": code}
    assert pushed(dataset, alice).job.state == "succeeded"


def test_a_token_that_the_hub_no_longer_knows_is_named(hub, dataset, alice):
    hub.tokens.clear()
    push = pushed(dataset, alice)
    assert push.job.error_code == "hub_token_refused"
    assert not hub.repositories


def test_a_foreign_namespace_is_refused(hub, dataset, alice):
    assert pushed(dataset, alice, repo_id="others/bank").job.error_code == "hub_forbidden"


def test_a_hub_out_of_reach_is_said(hub, dataset, alice, settings, monkeypatch):
    settings.HF_ENDPOINT = "http://127.0.0.1:9"
    assert pushed(dataset, alice).job.error_code == "hub_unreachable"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert pushed(dataset, alice).job.error_code == "hub_unreachable"


def test_a_token_removed_meanwhile_ends_the_push(hub, dataset, alice, org):
    push = submit_push(actor=alice, dataset=dataset, repo_id="acme/bank")
    services.clear_hub_token(actor=alice, org=org)
    tasks.run_push(str(push.job_id))
    push.refresh_from_db()
    assert push.job.error_code == "no_hub_token"
    assert hub.calls == []


def test_a_token_that_no_key_opens_ends_the_push_in_plain_words(hub, dataset, alice, settings):
    settings.FIELD_ENCRYPTION_KEYS = ["another key of this installation, quite long"]
    push = pushed(dataset, alice)
    assert push.job.error_code == "secret_unreadable"
    assert "FIELD_ENCRYPTION_KEYS" in push.job.error_text


def test_files_that_were_changed_are_not_pushed(hub, dataset, alice):
    (folder_of(dataset) / "train.jsonl").write_text("{}\n")
    assert pushed(dataset, alice).job.error_code == "files_changed"
    assert hub.calls == []


def test_the_token_is_in_no_row_log_or_page(hub, dataset, alice, as_alice, api_for, caplog):
    caplog.set_level(logging.DEBUG)
    hub.fail("create", 401)
    pushed(dataset, alice)
    pushed(dataset, alice)
    page = as_alice.get(reverse("dataset", args=[dataset.org.slug, dataset.id])).content.decode()
    listed = api_for(alice).get(f"/api/v1/datasets/{dataset.id}/pushes").content.decode()
    rows = [
        str(list(model.objects.values()))
        for model in (Job, JobEvent, AuditEntry, DatasetPush, Organization)
    ]
    assert not any(TOKEN in text for text in (page, listed, caplog.text, *rows))


def test_a_draft_is_not_pushed(hub, dataset, alice):
    dataset.state = "draft"
    dataset.save()
    with pytest.raises(UserFacingError, match="frozen"):
        submit_push(actor=alice, dataset=dataset, repo_id="acme/bank")


def test_without_a_token_nothing_is_enqueued(hub, dataset, alice, org, api_for, as_alice):
    services.clear_hub_token(actor=alice, org=org)
    answer = api_for(alice).post(
        f"/api/v1/datasets/{dataset.id}/pushes", {"repo_id": "acme/bank"}, format="json"
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_hub_token")
    page = as_alice.get(reverse("dataset", args=[org.slug, dataset.id])).content.decode()
    assert "Push to the hub" not in page
    assert not Job.objects.filter(kind="push").exists()


@pytest.mark.parametrize(
    "repo_id",
    ["", "bank", "a/b/c", "acme/", "/bank", "acme/-x", "acme/a--b", "acme/a..b", "acme/x.git"]
    + ["acme/ü", "acme/a b", "http://evil/x", "acme/" + "x" * 97, "acme/bank\n"],
)
def test_a_bad_name_is_refused_before_anything_happens(dataset, api_for, alice, repo_id):
    answer = api_for(alice).post(
        f"/api/v1/datasets/{dataset.id}/pushes", {"repo_id": repo_id}, format="json"
    )
    if answer.status_code == 201:  # surrounding space was trimmed
        assert answer.json()["repo_id"] == "acme/bank"
    else:
        assert answer.status_code == 400
        assert not DatasetPush.objects.exists()


def test_two_pushes_to_one_place_do_not_run_at_once(dataset, alice):
    submit_push(actor=alice, dataset=dataset, repo_id="acme/bank")
    with pytest.raises(UserFacingError, match="being pushed"):
        submit_push(actor=alice, dataset=dataset, repo_id="acme/bank")
    submit_push(actor=alice, dataset=dataset, repo_id="acme/other")


def test_page_and_api_push_and_show_the_result(hub, dataset, as_alice, api_for, alice):
    place = [dataset.org.slug, dataset.id]
    assert as_alice.post(reverse("dataset_push", args=place), {"repo_id": "acme/bank"}).url
    push = DatasetPush.objects.get()
    assert push.is_private is False  # its box was left empty
    live = as_alice.get(reverse("dataset_pushes", args=place)).content.decode()
    assert 'hx-trigger="every 2s"' in live
    tasks.run_push(str(push.job_id))
    ended = as_alice.get(reverse("dataset_pushes", args=place)).content.decode()
    assert "hx-trigger" not in ended
    assert f"{hub.url}/datasets/acme/bank" in ended
    url = f"/api/v1/datasets/{dataset.id}/pushes"
    api = api_for(alice)
    body = {"repo_id": "acme/second"}
    made = [
        api.post(url, body, format="json", headers={"Idempotency-Key": "k"}).json()
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert (made[0]["state"], made[0]["is_private"]) == ("queued", True)
    assert [p["repo_id"] for p in api.get(url).json()["results"]] == ["acme/second", "acme/bank"]


def test_a_cancelled_push_is_said_in_the_audit(dataset, alice):
    push = submit_push(actor=alice, dataset=dataset, repo_id="acme/bank")
    jobs.request_cancel(push.job)
    assert AuditEntry.objects.filter(action="dataset.push_cancelled").exists()


def test_a_requeued_push_goes_on_under_its_new_job(hub, dataset, alice):
    hub.fail("create", 503)
    push = pushed(dataset, alice)
    again = jobs.requeue(push.job)
    tasks.run_push(str(again.id))
    push.refresh_from_db()
    assert (push.job_id, push.digest) == (again.id, dataset.digest)
