"""/v1/files: strangers, uploads and what is wrong with them, pages, contents, deletion."""

import json

import openai
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from accounts.models import AuditEntry
from modelstation import testing
from modelstation.core.models import Job
from training.finetuning.files import path_of
from training.models import FineTuningRequest, UploadedFile
from training.tests.finetuning.rows import chat_file, chat_row, jsonl
from training.tests.planted_runs import make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(api_for, alice, uploads_dir):
    return api_for(alice)


def upload(api, name="tickets.jsonl", content=None, headers=None, **fields):
    content = jsonl([chat_row(1), chat_row(2)]) if content is None else content
    form = {"file": SimpleUploadedFile(name, content), "purpose": "fine-tune"} | fields
    form = {key: value for key, value in form.items() if value is not None}
    return api.post("/v1/files", form, format="multipart", headers=headers)


def error_of(response, status):
    assert response.status_code == status, response.content
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error["code"], error["param"]


# --- Strangers first ------------------------------------------------------------------------------


def test_a_strangers_file_is_not_there(api, stranger):
    name = upload(api).json()["id"]

    for path in ("", "/content", "/problems"):
        assert error_of(stranger.get(f"/v1/files/{name}{path}"), 404) == ("not_found", "file_id")
    assert error_of(stranger.delete(f"/v1/files/{name}"), 404) == ("not_found", "file_id")
    assert stranger.get("/v1/files").json()["data"] == []
    assert error_of(stranger.get(f"/v1/files?after={name}"), 400) == ("invalid_value", "after")
    assert UploadedFile.objects.count() == 1


def test_without_a_key_nothing_is_read_or_kept(uploads_dir, org):
    assert error_of(upload(APIClient()), 401)[0] == "invalid_api_key"
    assert not UploadedFile.objects.exists()


@pytest.mark.parametrize("name", ["nonsense", "file-", "file-xyz", f"file-{'0' * 32}", "ftjob-1"])
def test_what_is_no_id_of_a_file_is_not_found(api, name):
    assert error_of(api.get(f"/v1/files/{name}"), 404)[0] == "not_found"


# --- Uploads --------------------------------------------------------------------------------------


def test_an_upload_is_kept_hashed_and_looked_at(api, alice):
    content = jsonl([chat_row(1), chat_row(2)])

    body = upload(api, content=content).json()

    assert body["id"].startswith("file-")
    assert (body["object"], body["purpose"]) == ("file", "fine-tune")
    assert (body["filename"], body["bytes"]) == ("tickets.jsonl", len(content))
    assert (body["status"], body["status_details"]) == ("processed", None)
    assert body["modelstation"]["rows"] == 2
    assert len(body["modelstation"]["sha256"]) == 64
    file = UploadedFile.objects.get()
    assert path_of(file).read_bytes() == content
    assert file.created_by == alice
    assert AuditEntry.objects.get(action="file.upload").actor == alice


def test_a_bad_row_makes_the_file_an_error_that_names_line_and_field(api):
    rows = jsonl([chat_row(1), {"messages": [{"role": "user", "content": "hi"}]}])

    body = upload(api, content=rows).json()

    assert body["status"] == "error"
    assert "1 problem(s) of 2 rows. Line 2, field messages: " in body["status_details"]
    [problem] = body["modelstation"]["problems"]
    assert (problem["line"], problem["field"], problem["code"]) == (2, "messages", "no_answer")
    assert problem["message"]
    assert problem["hint"]
    content = b"".join(api.get(f"/v1/files/{body['id']}/problems").streaming_content)
    assert json.loads(content) == problem


def test_an_ambiguous_file_is_an_error(api):
    body = upload(api, content=b'{"messages": [], "prompt": "a", "completion": "b"}\n').json()

    assert body["status"] == "error"
    assert body["modelstation"]["problems"][0]["code"] == "ambiguous_file"


@pytest.mark.parametrize("name", ["upload", "rows.txt", "../../etc/passwd", ".jsonl"])
def test_a_name_that_says_nothing_is_taken_for_json_lines(api, name, uploads_dir):
    body = upload(api, name=name).json()

    assert body["status"] == "processed"
    assert path_of(UploadedFile.objects.get()).resolve().is_relative_to(uploads_dir.resolve())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"purpose": None}, ("missing_required_parameter", "purpose")),
        ({"purpose": "assistants"}, ("invalid_value", "purpose")),
        ({"purpose": "fine-tune-results"}, ("invalid_value", "purpose")),
        ({"file": None}, ("missing_required_parameter", "file")),
        ({"file": "text"}, ("invalid_value", "file")),
        ({"content": b""}, ("invalid_value", "file")),
        ({"expires_after[anchor]": "created_at"}, ("unknown_parameter", "expires_after")),
        ({"colour": "red"}, ("unknown_parameter", "colour")),
    ],
)
def test_what_is_requested_wrongly_is_named(api, change, expected):
    assert error_of(upload(api, **change), 400) == expected
    assert not UploadedFile.objects.exists()


def test_a_body_that_is_no_form_is_refused(api):
    assert api.post("/v1/files", {"purpose": "fine-tune"}, format="json").status_code == 415


def test_a_file_beyond_the_limit_is_refused_with_its_size(api, settings):
    settings.UPLOAD_MAX_BYTES = 100

    response = upload(api)

    assert error_of(response, 413) == ("upload_too_large", "file")
    assert "at most" in response.json()["error"]["message"]
    assert not UploadedFile.objects.exists()


def test_a_failure_while_it_is_looked_at_leaves_nothing(api, uploads_dir, monkeypatch):
    monkeypatch.setattr("training.finetuning.files.look_at", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        upload(api)

    assert not [path for path in uploads_dir.rglob("*") if path.is_file()]


def test_one_key_keeps_one_file(api):
    key = {"Idempotency-Key": "once"}
    first, again = upload(api, headers=key), upload(api, headers=key)

    assert first.json() == again.json()
    assert again["Idempotent-Replayed"] == "true"
    other = upload(api, content=jsonl([chat_row(3)]), headers=key)
    assert error_of(other, 422) == ("idempotency_key_reused", "Idempotency-Key")
    assert UploadedFile.objects.count() == 1


# --- Lists ----------------------------------------------------------------------------------------


def test_files_are_paged_by_the_last_id_either_way(api):
    names = [upload(api, name=f"{i}.jsonl").json()["id"] for i in range(3)]

    first = api.get("/v1/files?limit=2").json()
    assert [row["id"] for row in first["data"]] == names[:0:-1]
    assert (first["object"], first["has_more"]) == ("list", True)
    assert (first["first_id"], first["last_id"]) == (names[2], names[1])
    rest = api.get(f"/v1/files?limit=2&after={first['last_id']}").json()
    assert [row["id"] for row in rest["data"]] == names[:1]
    assert rest["has_more"] is False
    oldest = api.get(f"/v1/files?order=asc&after={names[0]}").json()
    assert [row["id"] for row in oldest["data"]] == names[1:]
    none = api.get("/v1/files?purpose=fine-tune-results").json()
    assert none == {
        "object": "list",
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }


def test_a_purpose_that_nothing_here_has_gives_an_empty_list(api):
    upload(api)
    for purpose in ("vision", "%00"):
        assert api.get(f"/v1/files?purpose={purpose}").json()["data"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=10001", "order=up", "after=file-1"])
def test_a_list_that_cannot_be_is_refused_by_name(api, query):
    assert error_of(api.get(f"/v1/files?{query}"), 400) == ("invalid_value", query.split("=")[0])


def test_a_list_requests_a_fixed_number_of_queries(api, django_assert_num_queries):
    for i in range(3):
        upload(api, name=f"{i}.jsonl")
    with django_assert_num_queries(3):  # token, membership, files
        assert len(api.get("/v1/files").json()["data"]) == 3


# --- Contents and deletion ------------------------------------------------------------------------


def test_the_content_is_byte_for_byte(api):
    content = "\ufeff".encode() + jsonl([chat_row(1)]).replace(b"\n", b"\r\n")
    name = upload(api, content=content).json()["id"]

    response = api.get(f"/v1/files/{name}/content", headers={"Accept": "application/binary"})

    assert b"".join(response.streaming_content) == content
    assert "tickets.jsonl" in response["Content-Disposition"]


def test_deleting_takes_the_bytes_too(api, uploads_dir, django_capture_on_commit_callbacks):
    name = upload(api).json()["id"]

    with django_capture_on_commit_callbacks(execute=True):
        body = api.delete(f"/v1/files/{name}").json()

    assert body == {"id": name, "object": "file", "deleted": True}
    assert error_of(api.get(f"/v1/files/{name}"), 404)[0] == "not_found"
    assert not [path for path in uploads_dir.rglob("*") if path.is_file()]


@pytest.mark.parametrize("param", ["training_file", "validation_file"])
def test_a_file_that_a_job_has_still_to_read_stays(api, org, param):
    name = upload(api).json()["id"]
    file = UploadedFile.objects.get()
    model = testing.make_model(org)
    job = Job.objects.create(org=org, kind="freeze", queue="distil", subject_id=model.id)
    files = {"training_file": model.id} | {param: file.id}
    FineTuningRequest.objects.create(org=org, job=job, model=model, seed=0, **files)

    response = api.delete(f"/v1/files/{name}")

    assert error_of(response, 409) == ("file_in_use", None)
    assert response["x-should-retry"] == "false"
    Job.objects.filter(id=job.id).update(state="succeeded")
    assert api.delete(f"/v1/files/{name}").status_code == 200


def test_the_frozen_rows_of_a_build_of_the_web_app_are_a_file_that_stays(
    api, stranger, org, artifacts_dir
):
    dataset = make_run(testing.make_model(org)).dataset_version
    (artifacts_dir / "dataset").mkdir(parents=True)
    (artifacts_dir / "dataset" / "train.jsonl").write_text("{}\n")
    name = f"file-{dataset.id.hex}"

    assert api.get(f"/v1/files/{name}").json()["bytes"] == 3
    content = api.get(f"/v1/files/{name}/content")
    assert b"".join(content.streaming_content) == b"{}\n"
    assert error_of(api.delete(f"/v1/files/{name}"), 409)[0] == "file_in_use"
    assert error_of(stranger.get(f"/v1/files/{name}"), 404)[0] == "not_found"


# --- The client that everybody has ----------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_the_openai_client_uploads_lists_reads_and_deletes(sdk, uploads_dir, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(chat_file(3)[1])
    files = [
        sdk.files.create(file=path, purpose="fine-tune"),
        sdk.files.create(file=chat_file(2)[1], purpose="fine-tune"),
    ]
    assert files[0].filename == "rows.jsonl"
    assert sdk.files.wait_for_processing(files[1].id).status == "processed"
    assert [file.id for file in sdk.files.list(limit=1)] == [files[1].id, files[0].id]
    assert sdk.files.retrieve(files[0].id).bytes == len(path.read_bytes())
    assert sdk.files.content(files[0].id).read() == path.read_bytes()
    assert sdk.files.delete(files[0].id).deleted
    with pytest.raises(openai.NotFoundError):
        sdk.files.retrieve(files[0].id)
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.files.create(file=path, purpose="vision")
    assert refused.value.param == "purpose"
    with pytest.raises(openai.AuthenticationError):
        sdk.with_options(api_key="wrong").files.list()
    key = {"Idempotency-Key": "k"}
    sdk.files.create(file=path, purpose="fine-tune", extra_headers=key)
    with pytest.raises(openai.UnprocessableEntityError):
        sdk.files.create(file=("x.jsonl", b"{}"), purpose="fine-tune", extra_headers=key)
