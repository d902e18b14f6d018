"""Exports by service, API and page: whose they are, what they hold, how they are downloaded."""

import io
import json
import shutil
import subprocess
import sys
import uuid
import zipfile
from datetime import timedelta

import pytest
from django.core import signing
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from distillation.models import DatasetVersion, DistillationRun
from modelstation import testing
from modelstation.core.errors import UserFacingError
from modelstation.core.models import Job, JobEvent
from training import tasks
from training.builds.services import delete_model
from training.export import links as export_links
from training.export import services as exports
from training.models import Export
from training.tests.export.exported import PROMPT, make_version_files, write_rows
from training.tests.planted_runs import make_job

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def trained(tiny_llama, tmp_path_factory):
    folder, base = tmp_path_factory.mktemp("trained"), tmp_path_factory.mktemp("bases") / "tiny"
    shutil.copytree(tiny_llama, base)
    manifests = make_version_files(tiny_llama, folder)
    shutil.copy(folder / "gguf" / "model-q8_0.gguf", base)
    return folder, manifests, base


@pytest.fixture
def version(org, trained, artifacts_dir, settings):
    """A version with its files on the disk; its base is the tiny llama."""
    folder, manifests, base_folder = trained
    artifacts_dir.mkdir()
    (artifacts_dir / "version").symlink_to(folder)
    settings.MODELS_DIR = base_folder.parent
    base = testing.make_base("tiny", context=512)
    model = testing.make_model(org, base=base, status="ready")
    run = DistillationRun.objects.create(
        org=org, job=make_job(model, "distil", "succeeded"), model=model
    )
    (artifacts_dir / "dataset").mkdir()
    write_rows(artifacts_dir / "dataset" / "test.jsonl")
    DatasetVersion.objects.create(
        org=org,
        model=model,
        run=run,
        number=1,
        digest="d" * 64,
        state="frozen",
        folder="dataset",
        row_count=4,
    )
    return testing.make_version(
        model,
        base=base,
        state="ready",
        system_prompt=PROMPT,
        dataset_digest="d" * 64,
        folder="version",
        artifacts=manifests,
    )


def exported(version, actor, **requested):
    """Submitted and run, as a worker does it."""
    export = exports.submit_export(actor=actor, version=version, **requested)
    tasks.run_export(str(export.job_id))
    return Export.objects.select_related("job", "version__model").get(pk=export.pk)


@pytest.fixture
def made(version, alice, artifacts_dir):
    """An export as it stands when it is made, with some bytes for a file: quick."""
    export = Export.objects.create(
        org=version.org,
        version=version,
        artifacts=["adapter"],
        folder="x/files/1",
        file_name="bank-intents-v1.zip",
        file_bytes=1000,
        sha256="a" * 64,
        certificate={"verdict": "pass", "artifacts": [], "reference": {"what": "it"}, "rows": 4},
        expires_at=timezone.now() + timedelta(days=1),
    )
    export.folder = f"{export.pk}/files/1"
    export.save()
    file = exports.file_of(export)
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(range(250)) * 4)
    return export


@pytest.fixture
def link(made):
    return export_links.link_path(made)


def body(response):
    return b"".join(response.streaming_content)


# --- whose they are -------------------------------------------------------------------------------


def test_a_stranger_sees_and_makes_no_exports(made, as_charlie, api_for, charlie, org):
    page = reverse("version_export", args=[org.slug, made.version_id])
    assert as_charlie.get(page).status_code == 404
    for name in ("export_delete", "export_push"):
        assert as_charlie.post(reverse(name, args=[org.slug, made.pk])).status_code == 404
    elsewhere = charlie.organizations.get()
    assert as_charlie.get(page.replace(org.slug, elsewhere.slug)).status_code == 404
    api = api_for(charlie, elsewhere)
    for url in (f"versions/{made.version_id}/exports", f"exports/{made.pk}"):
        assert api.get(f"/api/v1/{url}").status_code == 404
    assert api.post(f"/api/v1/versions/{made.version_id}/exports").status_code == 404
    assert api.delete(f"/api/v1/exports/{made.pk}").status_code == 404
    assert Export.objects.count() == 1


def test_a_link_signed_for_another_organisation_opens_nothing(made, charlie, client):
    other = charlie.organizations.get()
    token = signing.dumps([str(made.pk), str(other.pk)], salt=export_links.SALT)
    url = reverse("api_export_download", args=[token, made.file_name])
    assert client.get(url).status_code == 404


# --- the link -------------------------------------------------------------------------------------


def test_a_link_needs_no_login_and_gives_the_file(link, made, client):
    response = client.get(link)
    assert response.status_code == 200
    assert response["Accept-Ranges"] == "bytes"
    assert response["ETag"] == f'"{made.sha256}"'
    assert response["Content-Length"] == "1000"
    assert body(response) == exports.file_of(made).read_bytes()


def test_a_head_says_the_size_and_sends_nothing(link, client):
    response = client.head(link)
    assert (response.status_code, response["Content-Length"]) == (200, "1000")
    assert body(response) == b""


@pytest.mark.parametrize(
    ("requested", "status", "stated", "first", "end"),
    [
        ("bytes=0-9", 206, "bytes 0-9/1000", 0, 10),
        ("bytes=990-", 206, "bytes 990-999/1000", 990, 1000),
        ("bytes=-5", 206, "bytes 995-999/1000", 995, 1000),
        ("bytes=990-5000", 206, "bytes 990-999/1000", 990, 1000),
        ("bytes=0-1,5-6", 200, None, 0, 1000),
        ("bytes=-", 200, None, 0, 1000),
        ("lines=0-9", 200, None, 0, 1000),
        ("bytes=9-1", 416, "bytes */1000", 0, 0),
        ("bytes=1000-", 416, "bytes */1000", 0, 0),
        ("bytes=-0", 416, "bytes */1000", 0, 0),
        (f"bytes={'9' * 30}-", 416, "bytes */1000", 0, 0),
        (f"bytes={'9' * 5000}-", 200, None, 0, 1000),  # more digits than Python reads
    ],
)
def test_ranges(link, made, client, requested, status, stated, first, end):
    response = client.get(link, headers={"Range": requested})
    assert (response.status_code, response.get("Content-Range")) == (status, stated)
    if status != 416:
        assert body(response) == exports.file_of(made).read_bytes()[first:end]


def test_going_on_where_it_stopped_gives_the_whole(link, made, client):
    whole = exports.file_of(made).read_bytes()
    got = body(client.get(link, headers={"Range": "bytes=0-332"}))
    while len(got) < len(whole):
        etag = f'"{made.sha256}"'
        requested = {"Range": f"bytes={len(got)}-{len(got) + 99}", "If-Range": etag}
        response = client.get(link, headers=requested)
        assert response.status_code == 206
        got += body(response)
    assert got == whole


@pytest.mark.django_db(transaction=True)
def test_curl_goes_on_with_a_download_that_broke_off(made, live_server, tmp_path):
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("There is no curl on this machine.")
    whole, got = exports.file_of(made).read_bytes(), tmp_path / "got.zip"
    got.write_bytes(whole[:333])
    url = live_server.url + export_links.link_path(made)
    subprocess.run([curl, "-fsSL", "-C", "-", "-o", str(got), url], check=True, timeout=30)
    assert got.read_bytes() == whole


@pytest.mark.parametrize("condition", ['"another"', "Wed, 21 Oct 2015 07:28:00 GMT", 'W/"a"'])
def test_a_file_that_is_another_by_now_is_sent_from_the_start(link, client, condition):
    response = client.get(link, headers={"Range": "bytes=5-", "If-Range": condition})
    assert (response.status_code, len(body(response))) == (200, 1000)


def test_a_changed_link_is_refused_with_a_sentence(link, client):
    token = link.split("/")[-2]
    forged = link.replace(token, ("a" if token[0] != "a" else "b") + token[1:])
    response = client.get(forged)
    assert response.status_code == 403
    assert "not one that this installation made" in response.json()["error"]["message"]


def test_an_expired_link_is_refused_with_a_sentence(link, client, settings):
    settings.EXPORT_LINK_HOURS = -1
    response = client.get(link)
    assert response.status_code == 403
    assert "has expired" in response.json()["error"]["message"]


def test_a_deleted_export_has_no_link_any_more(link, made, client, as_alice, org):
    folder = exports.folder_of(made)
    response = as_alice.post(reverse("export_delete", args=[org.slug, made.pk]))
    assert response.status_code == 302
    assert client.get(link).status_code == 404
    assert not Export.objects.exists()
    assert AuditEntry.objects.filter(action="export.delete").exists()
    assert folder.exists()  # the test's transaction does not commit; see the one that does


@pytest.mark.django_db(transaction=True)
def test_files_go_with_the_export_and_with_the_model(made, version, alice):
    folder = exports.folder_of(made)
    exports.delete_export(actor=alice, export=made)
    assert not folder.exists()


@pytest.mark.django_db(transaction=True)
def test_deleting_a_model_deletes_its_exports_and_their_files(made, version, alice, client, link):
    folder = exports.folder_of(made)
    job = Job.objects.create(org=made.org, kind="export", queue="gpu", subject_id=made.pk)
    Export.objects.filter(pk=made.pk).update(job=job)
    delete_model(actor=alice, model=version.model)
    assert not Export.objects.exists()
    assert not folder.exists()
    job.refresh_from_db()
    assert job.state == "cancelled"
    assert client.get(link).status_code == 404


def test_a_file_that_is_lost_is_404_and_no_crash(link, made, client):
    exports.file_of(made).unlink()
    assert client.get(link).status_code == 404


def test_what_has_expired_is_cleaned_up_and_kept_as_a_row(made, link, client, as_bob, org):
    Export.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    assert client.get(link).status_code == 404
    assert exports.clean_expired() == 1
    assert not exports.folder_of(made).exists()
    assert exports.clean_expired() == 0
    page = as_bob.get(reverse("version_export", args=[org.slug, made.version_id])).content.decode()
    assert "The file has expired" in page


# --- making one -----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)  # the lease beats in a thread
def test_an_export_is_made_certified_signed_and_downloaded(
    version, alice, api_for, client, tmp_path
):
    api = api_for(alice)
    url = f"/api/v1/versions/{version.pk}/exports"
    requested = api.post(url, {}, format="json")
    assert requested.status_code == 201, requested.content
    assert (requested.json()["state"], requested.json()["url"]) == ("queued", None)
    assert requested.json()["artifacts"] == ["adapter", "gguf-q8_0"]
    tasks.run_export(str(Export.objects.get().job_id))
    shown = api.get(f"/api/v1/exports/{requested.json()['id']}").json()
    assert shown["state"] == "succeeded", (shown["error"], list(JobEvent.objects.values_list()))
    assert shown["certificate"]["rows"] == 4
    assert [entry["name"] for entry in shown["certificate"]["artifacts"]] == [
        "adapter",
        "gguf-q8_0",
    ]
    data = body(client.get(shown["url"].replace("http://testserver", "")))
    assert len(data) == shown["file_bytes"]
    zipfile.ZipFile(io.BytesIO(data)).extractall(tmp_path / "got")
    key = api.get("/api/v1/signing-key").json()["public_key"]
    checked = subprocess.run(
        [sys.executable, str(tmp_path / "got/bank-intents-v1/verify.py"), "--key", key],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    stages = list(JobEvent.objects.filter(kind="stage").values_list("message", flat=True))
    assert "The 8-bit GGUF answers the held-out rows" in stages
    assert api.get(url).json()["results"][0]["id"] == shown["id"]
    work = exports.folder_of(Export.objects.get()) / "work"
    assert not list(work.iterdir())
    assert AuditEntry.objects.filter(action="version.exported").exists()


@pytest.mark.django_db(transaction=True)  # the lease beats in a thread
def test_the_users_own_rows_are_replayed_where_there_are_some(version, alice):
    version.model.test_rows = [{"input": "answer the question", "output": "no"}]
    version.model.save()
    export = exported(version, alice, artifacts=["merged"])
    assert export.certificate["rows"] == 1
    page_says = export.certificate["artifacts"][0]
    assert (page_says["name"], page_says["verdict"]) == ("merged", "pass")


def test_the_page_shows_choices_certificate_and_link(made, as_bob, org):
    url = reverse("version_export", args=[org.slug, made.version_id])
    page = as_bob.get(url).content.decode()
    for stated in ("Q4_K_M", "Parity certificate", "curl -fL -C -", "Signing key", "are free"):
        assert stated in page
    assert "Push to the Hugging Face Hub" not in page  # for admins
    model_page = as_bob.get(reverse("model", args=[org.slug, made.version.model_id]))
    assert url in model_page.content.decode()


def test_a_choice_that_is_refused_is_said_in_the_form(version, as_bob, org, monkeypatch):
    url = reverse("version_export_start", args=[org.slug, version.pk])
    assert "Choose at least one." in as_bob.post(url).content.decode()
    monkeypatch.setattr(exports, "free_bytes", lambda: 1000)
    page = as_bob.post(url, {"artifacts": ["merged", "gguf-q4_k_m"]})
    assert "are free" in str(page.context["form"].errors)
    assert page.context["form"]["artifacts"].value() == ["merged", "gguf-q4_k_m"]
    assert not Job.objects.filter(kind="export").exists()


def test_an_export_at_work_is_named_on_the_dashboard_and_watched_alone(
    version, made, alice, as_bob, org
):
    export = exports.submit_export(actor=alice, version=version)
    url = reverse("version_export", args=[org.slug, version.pk])
    page = as_bob.get(url).content.decode()
    assert page.count('hx-trigger="every 2s"') == 1
    assert f'hx-select="#export-{export.pk}"' in page
    dashboard = as_bob.get(reverse("dashboard", args=[org.slug]))
    assert [work.name for work in dashboard.context["work"]] == [f"Export of {version}"]
    assert dashboard.context["work"][0].url == url


def test_a_failed_export_says_why_and_what_to_try(version, as_bob, org, alice):
    export = exports.submit_export(actor=alice, version=version)
    Job.objects.filter(id=export.job_id).update(state="failed", error_code="oom_killed")
    page = as_bob.get(reverse("version_export", args=[org.slug, version.pk])).content.decode()
    assert "ran out of memory" in page
    assert "What to try:" in page


def test_a_second_export_waits_for_the_first(version, alice):
    exports.submit_export(actor=alice, version=version)
    with pytest.raises(UserFacingError, match="being exported already"):
        exports.submit_export(actor=alice, version=version)


def test_a_full_disk_is_refused_before_anything_is_made(version, alice, monkeypatch, api_for):
    monkeypatch.setattr(exports, "free_bytes", lambda: 1000)
    response = api_for(alice).post(f"/api/v1/versions/{version.pk}/exports", {}, format="json")
    assert response.status_code == 507
    assert "are free" in response.json()["error"]["message"]
    assert not Job.objects.filter(kind="export").exists()


@pytest.mark.parametrize(
    ("requested", "says"),
    [(["exe"], "no artifact “exe”"), ([], "at least one"), (["adapter"], "has no adapter")],
)
def test_what_cannot_be_had_is_refused(version, alice, requested, says):
    version.artifacts = {"merged": version.artifacts["merged"]}
    with pytest.raises(UserFacingError, match=says):
        exports.submit_export(actor=alice, version=version, artifacts=requested)
    assert exports._wanted(None, {"gguf-q8_0": 1}) == ["gguf-q8_0"]  # the usual ones, as far as had


def test_sizes_are_stated_before(version, alice, api_for):
    stated = api_for(alice).get(f"/api/v1/versions/{version.pk}/exports/sizes").json()
    sizes = {each["name"]: each["bytes"] for each in stated["artifacts"]}
    assert sizes["gguf-q4_k_m"] < sizes["gguf-q8_0"] < sizes["gguf-f16"]
    assert sizes["merged"] > 0
    assert stated["free_bytes"] > 0


def test_an_idempotent_request_makes_one_export(version, alice, api_for):
    api, url = api_for(alice), f"/api/v1/versions/{version.pk}/exports"
    answers = [api.post(url, {}, format="json", headers={"Idempotency-Key": "k"}) for _ in "ab"]
    assert answers[0].json() == answers[1].json()
    assert Export.objects.count() == 1


@pytest.mark.django_db(transaction=True)  # the lease beats in a thread
def test_files_that_changed_since_the_training_end_the_export(version, alice):
    version.artifacts = json.loads(json.dumps(version.artifacts))
    version.artifacts["merged"]["files"][0]["sha256"] = "0" * 64
    version.save()
    export = exported(version, alice, artifacts=["merged"])
    assert (export.job.state, export.job.error_code) == ("failed", "files_changed")
    assert not export.is_there


@pytest.mark.django_db(transaction=True)  # the lease beats in a thread
def test_an_adapter_without_its_base_is_refused_in_words(version, alice, settings, tmp_path):
    settings.MODELS_DIR = tmp_path
    export = exported(version, alice, artifacts=["adapter"])
    assert (export.job.state, export.job.error_code) == ("failed", "no_base")
    assert "leave the adapter out" in export.job.error_text


def test_an_export_deleted_while_it_is_made_leaves_nothing(version, alice):
    export = exports.submit_export(actor=alice, version=version, artifacts=["merged"])
    Export.objects.filter(pk=export.pk).delete()
    exports.finish_export(
        export=export,
        packed=exports.PackedExport("x", "x.zip", 0, "a", {}, {"verdict": "pass"}),
    )
    assert not Export.objects.exists()


def test_no_such_export(as_alice, org):
    assert as_alice.post(reverse("export_delete", args=[org.slug, uuid.uuid4()])).status_code == 404
