import threading
import uuid

import pytest
from django.db import connection
from django.test import Client
from django_q.models import OrmQ
from rest_framework.test import APIClient

from accounts.services import create_token
from models_app.models import CustomModel, IdempotentRequest
from modelstation import testing
from modelstation.core.jobs import jobs
from modelstation.core.models import Job, JobEvent
from modelstation.testing import REQUIREMENT, make_base, make_model, make_org

pytestmark = pytest.mark.django_db
URL = "/api/v1/models"
ASKED = {"name": "Bank intents", "requirement": REQUIREMENT}


@pytest.fixture
def model(org):
    return make_model(org)


def make_version(model, *, number=1, state="ready", **fields):
    wanted = {"system_prompt": "Answer with the label.", "dataset_digest": "d" * 64} | fields
    return testing.make_version(model, number, state=state, **wanted)


def error_of(response, status):
    assert response.status_code == status, response.content
    error = response.json()["error"]
    assert set(error) == {"code", "message", "param", "hint"}
    return error


# --- Strangers first ------------------------------------------------------------------------------


def test_a_stranger_gets_404_at_every_address_of_a_model(stranger, model):
    version = make_version(model)
    addresses = [
        ("get", f"{URL}/{model.id}"),
        ("patch", f"{URL}/{model.id}"),
        ("delete", f"{URL}/{model.id}"),
        ("post", f"{URL}/{model.id}/cancel"),
        ("post", f"{URL}/{model.id}/rebuild"),
        ("get", f"{URL}/{model.id}/events"),
        ("get", f"{URL}/{model.id}/versions"),
        ("get", f"/api/v1/versions/{version.id}"),
        ("post", f"/api/v1/versions/{version.id}/publish"),
    ]

    for method, address in addresses:
        response = getattr(stranger, method)(address, {"system_prompt": "mine now"}, format="json")
        assert error_of(response, 404)["code"] == "not_found", address
    assert CustomModel.objects.get(id=model.id).system_prompt == ""


def test_a_list_shows_only_ones_own_organisation(stranger, api, model):
    assert [row["id"] for row in api.get(URL).json()["results"]] == [str(model.id)]
    assert stranger.get(URL).json()["results"] == []


@pytest.mark.parametrize("method", ["get", "post"])
def test_without_a_token_the_answer_is_401(method, org):
    response = getattr(APIClient(), method)(URL)

    assert error_of(response, 401)["code"] == "not_authenticated"
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_a_session_may_read_but_writes_only_with_a_csrf_token(org, alice):
    make_base()
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)

    assert browser.get(URL).status_code == 200
    assert (
        error_of(browser.post(URL, ASKED, "application/json"), 403)["code"] == "permission_denied"
    )


# --- Making one -----------------------------------------------------------------------------------


def test_a_model_is_made_pending_with_its_work_enqueued(api, alice, org):
    make_base()
    whole = ASKED | {
        "objective": "Fast.",
        "policy": "No advice.",
        "examples": [{"input": " My card is lost ", "output": "lost_card"}],
        "test_rows": [{"input": "Where is my card?", "output": "card_arrival"}],
        "success_criteria": ["exact match at least 80 %"],
        "metric": "exact_match",
        "system_prompt": "Answer with the label.",
        "base": "smollm2-135m-instruct",
        "rows": 200,
        "training_config": {"epochs": 1},
        "intent_edits": {"labels": ["lost_card", "card_arrival"]},
    }

    response = api.post(URL, whole, format="json")

    assert response.status_code == 201, response.content
    body = response.json()
    assert (body["status"], body["stage"], body["job"]["state"]) == ("pending", "waiting", "queued")
    assert body["test_row_count"] == 1
    assert {key: body[key] for key in whole if key != "test_rows"} == {
        key: value for key, value in whole.items() if key != "test_rows"
    }
    assert response["Location"] == body["links"]["self"]
    model = CustomModel.objects.get(id=body["id"])
    assert (model.org, model.created_by) == (org, alice)
    assert OrmQ.objects.count() == 1


def test_what_is_left_out_is_chosen_for_the_user(api):
    make_base()

    body = api.post(URL, ASKED, format="json").json()

    assert (body["rows"], body["base"], body["examples"]) == (1000, "smollm2-135m-instruct", [])


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"requirement": "short"}, "requirement"),
        ({"requirement": "long " * 5_000}, "requirement"),
        ({"rows": 3}, "rows"),
        ({"rows": "many"}, "rows"),
        ({"metric": "vibes"}, "metric"),
        ({"base": "gpt-9"}, "base"),
        ({"training_config": {"lora_rank": 0}}, "training_config"),
        ({"training_config": {"epochs": "many"}}, "training_config"),
        ({"training_config": {"lora_rnak": 8}}, "training_config"),
        ({"examples": [{"input": "a", "output": "b"}, {"input": "c"}]}, "examples.1.output"),
        ({"examples": [{"input": "a", "output": "  "}]}, "examples.0.output"),
        ({"examples": "none"}, "examples"),
        ({"exampels": []}, "exampels"),
    ],
)
def test_a_bad_field_is_named_and_nothing_is_made(api, change, param):
    make_base()

    error = error_of(api.post(URL, ASKED | change, format="json"), 400)

    assert error["param"] == param
    assert error["message"]
    assert not CustomModel.objects.exists()
    assert not OrmQ.objects.exists()


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        ('{"name": ', "application/json", 400, "parse_error"),
        (b'{"name": "\xff"}', "application/json", 400, "parse_error"),
        ('{"name": "nul \\u0000"}', "application/json", 400, "parse_error"),
        ('{"name": "half \\ud800"}', "application/json", 400, "parse_error"),
        ("[" * 100_000, "application/json", 400, "parse_error"),
        ("[1]", "application/json", 400, "invalid"),
        ("name=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_in_the_one_shape(
    api, body, content_type, status, code
):
    response = api.generic("POST", URL, body, content_type=content_type)

    assert error_of(response, status)["code"] == code


def test_other_failures_have_the_one_shape_too(api):
    assert error_of(api.put(URL, {}, format="json"), 405)["code"] == "method_not_allowed"
    assert error_of(api.get(f"{URL}/{uuid.uuid4()}"), 404)["code"] == "not_found"
    assert error_of(api.get(f"{URL}/not-an-id"), 404)["code"] == "not_found"
    assert error_of(api.get("/api/v1/nothing/here"), 404)["code"] == "not_found"


def test_a_body_beyond_the_limit_is_refused_unread(api, monkeypatch):
    monkeypatch.setattr("modelstation.core.web.parsers.BodyParser.max_bytes", 10)

    assert error_of(api.post(URL, ASKED, format="json"), 413)["code"] == "body_too_large"


# --- Idempotency ----------------------------------------------------------------------------------


def test_the_same_key_and_body_make_one_model_and_get_one_answer(api):
    make_base()
    first, second = (
        api.post(URL, ASKED, format="json", HTTP_IDEMPOTENCY_KEY="k1") for _ in range(2)
    )

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second["Idempotent-Replayed"] == "true"
    assert CustomModel.objects.count() == Job.objects.count() == 1


def test_the_same_key_with_another_body_is_refused(api):
    make_base()
    api.post(URL, ASKED, format="json", HTTP_IDEMPOTENCY_KEY="k1")

    response = api.post(URL, ASKED | {"rows": 50}, format="json", HTTP_IDEMPOTENCY_KEY="k1")

    assert error_of(response, 422)["code"] == "idempotency_key_reused"
    assert CustomModel.objects.count() == 1


def test_a_key_belongs_to_an_organisation(api, stranger):
    make_base()

    for client in (api, stranger):
        assert client.post(URL, ASKED, format="json", HTTP_IDEMPOTENCY_KEY="k1").status_code == 201
    assert CustomModel.objects.count() == 2


def test_a_refused_request_does_not_use_up_its_key(api):
    assert api.post(URL, ASKED, format="json", HTTP_IDEMPOTENCY_KEY="k1").status_code == 400

    make_base()

    assert api.post(URL, ASKED, format="json", HTTP_IDEMPOTENCY_KEY="k1").status_code == 201


@pytest.mark.django_db(transaction=True)
def test_simultaneous_requests_with_one_key_make_one_model():
    org = make_org()
    make_base()
    _, secret = create_token(actor=org.members.get(), org=org, name="racer")
    barrier = threading.Barrier(6)
    answers = []

    def post():
        barrier.wait()
        client = APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}", HTTP_IDEMPOTENCY_KEY="race")
        answers.append(client.post(URL, ASKED, format="json"))
        connection.close()

    threads = [threading.Thread(target=post) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (
        CustomModel.objects.count() == Job.objects.count() == IdempotentRequest.objects.count() == 1
    )


# --- Reading --------------------------------------------------------------------------------------


def test_the_list_takes_as_many_queries_for_many_models_as_for_one(
    api, org, django_assert_num_queries
):
    def queries():
        with django_assert_num_queries(3) as captured:  # token, membership, models
            assert api.get(URL).status_code == 200
        return captured.captured_queries

    api.get(URL)  # notes the token's use
    for number in range(3):
        model = make_model(org, name=f"M{number}", examples=[{"input": "a", "output": "b"}])
        CustomModel.objects.filter(id=model.id).update(live_version=make_version(model))

    listing = queries()[-1]["sql"]
    assert '"examples"' not in listing
    assert '"requirement"' not in listing


def test_the_list_goes_on_where_its_page_ended(api, org):
    names = [make_model(org, name=f"M{number}").name for number in range(5)]

    seen, address = [], f"{URL}?limit=2"
    while address:
        page = api.get(address).json()
        seen += [row["name"] for row in page["results"]]
        address = page["next"]

    assert seen == names[::-1]


@pytest.mark.parametrize("cursor", ["x", "cD0y", "bz0x", "cD0A"])
def test_a_cursor_that_is_not_ours_is_refused(api, cursor):
    for address in (URL, "/api/v1/bases", "/api/v1/sources"):
        response = api.get(f"{address}?cursor={cursor}")
        assert response.status_code == 200 or error_of(response, 400)["param"] == "cursor"


def test_a_model_tells_how_far_its_work_is(api, org, model):
    job = jobs.submit(kind="train", org=org, subject_id=model.id)
    progress = {
        "step": 5,
        "total_steps": 50,
        "loss": 1.5,
        "tokens_per_second": 900.0,
        "eta_seconds": 12,
    }
    Job.objects.filter(id=job.id).update(
        state="running", lease_token=uuid.uuid4(), stage="train", progress=progress
    )

    body = api.get(f"{URL}/{model.id}").json()

    untold = {"learning_rate": None, "tokens": None, "memory_bytes": None}
    assert body["stage"] == "train"
    assert body["progress"] == progress | untold
    assert body["scores"] == {}


def test_scores_are_those_of_the_live_version(api, model):
    live = make_version(model, scores={"metric": "exact_match", "tuned": {"score": 0.9}})
    make_version(
        model, number=2, state="draft", scores={"metric": "exact_match", "tuned": {"score": 0.1}}
    )
    CustomModel.objects.filter(id=model.id).update(live_version=live)

    body = api.get(f"{URL}/{model.id}").json()

    assert body["live_version"] == {"id": str(live.id), "number": 1, "state": "ready"}
    assert body["scores"]["tuned"]["score"] == 0.9


def test_events_tell_the_story_from_a_given_point_on(api, org, model):
    job = jobs.submit(kind="distil", org=org, subject_id=model.id)
    JobEvent.emit(job.id, "error", "It broke.", operator_detail="Traceback: secret")
    address = f"{URL}/{model.id}/events"

    told = api.get(address).json()

    assert [event["message"] for event in told] == ["Waiting for a worker.", "It broke."]
    assert "secret" not in str(told)
    assert api.get(f"{address}?after={told[0]['id']}").json() == told[1:]
    assert error_of(api.get(f"{address}?after=soon"), 400)["param"] == "after"


# --- Deeds ----------------------------------------------------------------------------------------


def test_only_the_prompt_and_what_was_understood_can_be_edited(api, model):
    edited = api.patch(f"{URL}/{model.id}", {"system_prompt": "Be brief."}, format="json")
    refused = api.patch(f"{URL}/{model.id}", {"status": "ready"}, format="json")

    assert edited.json()["system_prompt"] == "Be brief."
    assert error_of(refused, 400)["param"] == "status"


def test_what_was_understood_is_put_right_field_by_field(api, model):
    address = f"{URL}/{model.id}"
    first = {"intent_edits": {"labels": ["a", "b"], "language": "de"}, "system_prompt": "Label it."}
    assert api.patch(address, first, format="json").json()["intent_edits"] == first["intent_edits"]
    rule = {"source": "clinc150", "label": "card", "mapped_to": "a"}
    then = {"intent_edits": {"language": None, "label_map": [rule]}}
    body = api.patch(address, then, format="json").json()
    assert body["intent_edits"] == {"labels": ["a", "b"], "label_map": [rule]}
    assert body["system_prompt"] == "Label it."
    assert api.get(address).json()["intent_edits"] == body["intent_edits"]


@pytest.mark.parametrize(
    ("edits", "named"),
    [
        ({"beauty": 1}, "beauty"),
        ({"task_kind": "poetry"}, "task_kind"),
        ({"task_kind": ["sql"]}, "task_kind"),
        ({"labels": "ab"}, "labels"),
        ({"labels": ["a"]}, "labels"),
        ({"labels": ["a", 1]}, "labels"),
        ({"json_schema": {"type": "objekt"}}, "json_schema"),
        ({"json_schema": {"properties": {"a": {"$ref": "http://10.0.0.1"}}}}, "json_schema"),
        ({"answer_min_chars": True}, "answer_min_chars"),
        ({"answer_max_chars": "9"}, "answer_max_chars"),
        ({"answer_min_chars": 9, "answer_max_chars": 3}, "answer_max_chars"),
        ({"language": "klingon"}, "language"),
        ({"language": ["de"]}, "language"),
        ({"label_map": {"a": "b"}}, "label_map"),
        ({"label_map": [{"source": "s", "label": "l"}]}, "label_map"),
    ],
)
def test_a_correction_that_makes_no_sense_is_refused_and_changes_nothing(api, model, edits, named):
    make_base()
    for response in (
        api.patch(f"{URL}/{model.id}", {"intent_edits": edits}, format="json"),
        api.post(URL, ASKED | {"intent_edits": edits}, format="json"),
    ):
        error = error_of(response, 400)
        assert (error["param"], named in error["message"]) == ("intent_edits", True), error
    assert CustomModel.objects.get().intent_edits == {}


def test_a_deleted_model_is_gone(api, model):
    assert api.delete(f"{URL}/{model.id}").status_code == 204
    assert api.get(f"{URL}/{model.id}").status_code == 404


def test_a_build_is_cancelled_once(api):
    make_base()
    model_id = api.post(URL, ASKED, format="json").json()["id"]

    cancelled = api.post(f"{URL}/{model_id}/cancel")

    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert error_of(api.post(f"{URL}/{model_id}/cancel"), 409)["code"] == "not_building"


def test_a_model_is_built_again_but_not_twice_at_once(api, model):
    CustomModel.objects.filter(id=model.id).update(status="failed")

    again = api.post(f"{URL}/{model.id}/rebuild")

    assert (again.status_code, again.json()["status"]) == (200, "pending")
    assert error_of(api.post(f"{URL}/{model.id}/rebuild"), 409)["code"] == "already_building"


def test_publishing_moves_the_live_version_and_back(api, model):
    versions = [make_version(model, number=number) for number in (1, 2)]

    for version in (versions[1], versions[0]):
        assert api.post(f"/api/v1/versions/{version.id}/publish").json()["is_live"] is True
        assert CustomModel.objects.get(id=model.id).live_version == version
    listed = api.get(f"{URL}/{model.id}/versions").json()["results"]
    assert [(row["number"], row["is_live"]) for row in listed] == [(2, False), (1, True)]


def test_a_version_that_failed_its_criteria_is_not_published(api, model):
    draft = make_version(model, state="draft")

    response = api.post(f"/api/v1/versions/{draft.id}/publish")

    assert error_of(response, 409)["code"] == "not_publishable"
    assert CustomModel.objects.get(id=model.id).live_version is None


def test_bases_say_which_are_installed(api):
    make_base()
    make_base("bigger", parameters=10**10, is_installed=False)

    bases = api.get("/api/v1/bases").json()["results"]

    assert [(base["name"], base["is_installed"]) for base in bases] == [
        ("smollm2-135m-instruct", True),
        ("bigger", False),
    ]
