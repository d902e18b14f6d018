"""Requests that no view can make sense of: programs get the error shape of the surface they called,
with what to do, and people a page.
"""

import pytest
from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db
OURS = {"code", "message", "param", "hint"}
OPENAIS = {"message", "type", "param", "code"}
CHAT = {"model": "bank-intents", "messages": [{"role": "user", "content": "Hello"}]}
NOWHERE = "00000000-0000-4000-8000-000000000000"
FORM_FIELD = "\r\n".join(
    ["--x", 'Content-Disposition: form-data; name="purpose"', "", "f" * 3_000_000, "--x--", ""]
)


@pytest.fixture
def api(api_for, alice):
    return api_for(alice)


def error_of(response, status, fields=OURS):
    assert response.status_code == status, response.content
    assert response["Content-Type"].startswith("application/json")
    error = response.json()["error"]
    assert set(error) == fields
    return error


@pytest.mark.parametrize(
    ("path", "fields"),
    [("/v1/models", OPENAIS), ("/api/v1/models", OURS), ("/auth/me", OURS)],
)
def test_a_host_that_is_not_ours_is_refused_in_the_shape_of_the_surface(api, path, fields):
    error = error_of(api.get(path, HTTP_HOST="elsewhere.example"), 400, fields)
    assert error["code"] == "bad_request"
    assert "ALLOWED_HOSTS" in error["message"]


def test_a_host_that_is_not_ours_is_a_page_for_people(client):
    response = client.get("/accounts/login/", HTTP_HOST="elsewhere.example")
    assert response.status_code == 400
    assert response["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("path", "fields"), [("/v1/fine_tuning/jobs", OPENAIS), ("/api/v1/models", OURS)]
)
def test_too_many_parameters_are_refused_in_the_shape_of_the_surface(api, path, fields):
    error = error_of(api.get(f"{path}?{'&a=1' * 1001}"), 400, fields)
    assert "too many fields" in error["message"]


@pytest.mark.parametrize(("path", "fields"), [("/v1/files", OPENAIS), ("/api/v1/imports", OURS)])
def test_a_field_of_a_form_that_is_too_large_is_refused_in_the_shape_of_the_surface(
    api, uploads_dir, path, fields
):
    kind = "multipart/form-data; boundary=x"
    error = error_of(api.generic("POST", path, FORM_FIELD, content_type=kind), 400, fields)
    assert "as a file" in error["message"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [("/v1/chat/completions", OPENAIS), ("/api/v1/models", OURS), ("/auth/login", OURS)],
)
def test_a_body_in_chunks_is_asked_for_its_length(api, path, fields):
    """Django reads nothing of it: the answer would be that every field is missing."""
    in_chunks = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    response = api.generic("POST", path, "{}", content_type="application/json", **in_chunks)
    error = error_of(response, 411, fields)
    assert error["code"] == "length_required"
    assert "Content-Length" in error["message"]


@pytest.mark.parametrize(
    ("path", "fields"), [("/v1/chat/completions", OPENAIS), ("/api/v1/models", OURS)]
)
def test_a_packed_body_must_come_unpacked(api, path, fields):
    packed = {"HTTP_CONTENT_ENCODING": "gzip"}
    response = api.generic("POST", path, b"\x1f\x8b", content_type="application/json", **packed)
    assert "Content-Encoding" in error_of(response, 400, fields)["message"]


def test_a_body_of_another_kind_is_refused_with_the_right_one(api):
    for path, kind in [
        ("/api/v1/models", "application/json"),
        ("/api/v1/imports", "multipart/form-data"),
    ]:
        response = api.generic("POST", path, "a,b", content_type="text/csv")
        assert kind in error_of(response, 415)["hint"]
    for path, kind in [
        ("/v1/chat/completions", "application/json"),
        ("/v1/files", "multipart/form-data"),
    ]:
        response = api.generic("POST", path, "a,b", content_type="text/csv")
        assert kind in error_of(response, 415, OPENAIS)["message"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"model": "\xff"}', "Byte 12 of the body is not UTF-8."),
        (b'{"model": %s}' % (b"9" * 5000), "A number in the body has too many digits."),
        (b'{"model": 1e400}', "A number in the body is too large."),
        (b'{"model": %s}' % (b"[" * 200 + b"]" * 200), "nested deeper than 100 levels."),
    ],
)
def test_what_makes_a_body_unreadable_is_explained_without_python(api, body, said):
    for path, fields in [("/v1/chat/completions", OPENAIS), ("/api/v1/models", OURS)]:
        response = api.generic("POST", path, body, content_type="application/json")
        error = error_of(response, 400, fields)
        assert error["code"] == "parse_error"
        assert said in error["message"]


def test_a_value_of_another_type_is_explained_without_python(api):
    responses = [
        api.post("/v1/chat/completions", CHAT | {"messages": "Hello"}, format="json"),
        api.post("/v1/chat/completions", CHAT | {"messages": ["Hello"]}, format="json"),
        api.post("/v1/chat/completions", CHAT | {"stop": {}}, format="json"),
        api.post("/v1/fine_tuning/jobs", {"model": "m", "metadata": "x"}, format="json"),
        api.post("/api/v1/models", [], format="json"),
        api.post("/api/v1/models", {"name": "m", "success_criteria": {}}, format="json"),
    ]
    for response in responses:
        assert response.status_code == 400
        for word in (b"dict", b'"str"', b"int."):
            assert word not in response.content


def test_an_unknown_choice_is_refused_with_the_known_ones(api):
    body = CHAT | {"messages": [{"role": "boss", "content": "Hello"}]}
    error = error_of(api.post("/v1/chat/completions", body, format="json"), 400, OPENAIS)
    assert error["message"] == "“boss” is none of system, developer, user, assistant."
    error = error_of(api.get("/api/v1/usage", {"group_by": "week"}), 400)
    assert error["message"] == "“week” is none of day, model, token."


def test_a_thing_that_is_not_there_is_called_by_its_name(api):
    error = error_of(api.get("/v1/fine_tuning/jobs/ftjob-none"), 404, OPENAIS)
    assert error["param"] == "job_id"
    assert "no job “ftjob-none”" in error["message"]
    error = error_of(api.get(f"/api/v1/models/{NOWHERE}"), 404)
    assert (error["code"], error["param"]) == ("not_found", "model_id")
    assert f"no model “{NOWHERE}”" in error["message"]


def test_who_comes_without_a_token_learns_how_to_send_one(db):
    for path, field in [("/v1/models", "message"), ("/api/v1/models", "hint")]:
        for headers in ({}, {"HTTP_AUTHORIZATION": "Bearer ms_nonsense"}):
            error = APIClient().get(path, **headers).json()["error"]
            assert "Authorization: Bearer ms_" in error[field]


def test_the_address_above_openais_surface_is_json_too(api):
    assert error_of(api.get("/v1"), 404, OPENAIS)["code"] == "not_found"
    assert error_of(api.get("/api"), 404)["code"] == "not_found"


def test_an_answer_of_an_unknown_kind_is_refused_with_the_known_ones(api):
    response = api.get("/api/v1/models", HTTP_ACCEPT="application/xml")
    assert "application/json" in error_of(response, 406)["hint"]


def test_openais_surface_answers_whatever_is_accepted(api):
    """Clients that stream may accept text/event-stream and nothing else."""
    accepted = {"HTTP_ACCEPT": "text/event-stream"}
    assert api.get("/v1/models", **accepted).status_code == 200
    response = api.post("/v1/chat/completions", CHAT | {"stream": True}, format="json", **accepted)
    assert error_of(response, 404, OPENAIS)["code"] == "model_not_found"


@pytest.mark.parametrize("body", ["[" * 100_000, '{"email": "\\u0000"}', '{"email": "\\ud83d"}'])
def test_an_anonymous_caller_is_refused_for_a_body_that_cannot_be_read(db, body):
    response = APIClient().generic("POST", "/auth/login", body, content_type="application/json")
    assert error_of(response, 400)["code"] == "parse_error"


@pytest.mark.parametrize("limit", ["0", "-1", "ten", "1e2", "", "9" * 40])
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/api/v1/models", OURS),
        ("/api/v1/webhooks", OURS),
        ("/v1/webhook_endpoints", OPENAIS),
        ("/v1/files", OPENAIS),
        ("/v1/fine_tuning/jobs", OPENAIS),
    ],
)
def test_a_limit_that_cannot_be_one_is_refused(api, path, fields, limit):
    error = error_of(api.get(path, {"limit": limit}), 400, fields)
    assert error["param"] == "limit"


def test_a_limit_beyond_the_most_of_a_page_is_the_most(api, org):
    assert api.get("/api/v1/models", {"limit": "100000"}).status_code == 200


def test_a_webhook_that_there_is_not_is_no_place_to_go_on_from(api):
    response = api.get("/v1/webhook_endpoints", {"after": "we_nothing"})
    assert error_of(response, 400, OPENAIS)["param"] == "after"


def test_what_was_sent_is_not_sent_back_whole(api):
    long = "x" * 100_000
    responses = [
        api.post("/v1/chat/completions", CHAT | {"model": long}, format="json"),
        api.post("/v1/chat/completions", CHAT | {long: 1}, format="json"),
        api.post("/v1/fine_tuning/jobs", {"model": "m", long: 1}, format="json"),
        api.post("/api/v1/models", {"name": "m", long: 1}, format="json"),
        api.post(
            "/api/v1/models", {"name": "m", "metric": long, "requirement": "r"}, format="json"
        ),
        api.get("/api/v1/runs", {"model": long}),
        api.get("/v1/files", {"limit": long}),
    ]
    for response in responses:
        assert response.status_code in (400, 404)
        assert len(response.content) < 5_000, response.content[:200]
