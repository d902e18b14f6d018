"""The whole API against its own description: whatever is sent, no answer is a 5xx, and each is one
that the description has.

Short in `make test`; `make test-api` sends fifty times as much. Every request is taken back, so
that each finds the same organisation: Acme, which holds one of each thing.
"""

import json
import os
import sys
import zlib

import pytest
import schemathesis
from django.core.cache import cache
from django.core.signals import got_request_exception, request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.urls import resolve
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode

from accounts.services import create_token
from models_app.serving import client
from models_app.serving.client import Completion, Piece
from modelstation.tests.test_tenancy import API, CHAT, DRAFT

EXAMPLES = int(os.environ.get("MODELSTATION_API_EXAMPLES", "3"))  # of each operation and mode
PARTS = 8
HELD_TO = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
# The session that they open or end is the caller's own.
OF_NOBODY = {"/auth/login", "/auth/logout"}
pytestmark = [pytest.mark.django_db, pytest.mark.timeout(60 + 20 * EXAMPLES)]


@pytest.fixture(scope="module")
def api():
    load_all_checks()
    described = SchemaGenerator().get_schema(request=None, public=True)
    loaded = schemathesis.openapi.from_dict(described)
    loaded.app = get_wsgi_application()
    return loaded


@pytest.fixture(autouse=True)
def _model_server(monkeypatch):
    """Answer every request with the same words."""
    done = Completion("greeting", prompt_tokens=3, completion_tokens=1, finish_reason="stop")
    monkeypatch.setattr(client, "generate", lambda *args, **options: done)
    monkeypatch.setattr(client, "stream", lambda *args, **options: iter([Piece("hi"), done]))


@pytest.fixture(autouse=True)
def _short_streams(monkeypatch, settings):
    """End a stream at once: it is read to its end here."""
    monkeypatch.setattr("modelstation.core.jobs.events.STREAM_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def _kept_connection():
    """Keep the connection, which a server would close after each request: it is the test's own."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def ids(world):  # noqa: F811
    """Real values of path parameters: with a frozen dataset, or with a draft."""
    texts = {name: str(value) for name, value in world.items()}
    return [texts, texts | {"dataset_id": texts["draft_id"]}]


@pytest.fixture
def exceptions():
    """Keep what views raised, for the report."""
    raised = []

    def note(sender, **facts):
        raised.append(sys.exception())

    got_request_exception.connect(note)
    yield raised
    got_request_exception.disconnect(note)


def bearer(user):
    _, secret = create_token(actor=user, org=user.memberships.get().org, name="fuzz")
    return {"Authorization": f"Bearer {secret}"}


def operations_of(api, part):
    """Return a fixed share of them, by the operation's name alone."""
    for result in api.get_all_operations():
        operation = result.ok()
        if operation.path in OF_NOBODY or zlib.crc32(operation.label.encode()) % PARTS != part:
            continue
        yield operation


def sent(case, headers, **more):
    """Return the answer to a request, and leave nothing behind."""
    cache.clear()
    with transaction.atomic():
        response = case.call(headers=headers, **more)
        transaction.set_rollback(True)
    return response


def try_all(operation, mode, attempt):
    """Call `attempt` with generated cases of an operation, the same ones every time."""

    @seed(zlib.crc32(f"{operation.label} {mode}".encode()))
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(case=operation.as_strategy(generation_mode=mode), place=st.integers(0, 4))
    def check(case, place):
        attempt(case, place)

    try:
        check()
    except Unsatisfiable:
        # Of an operation that takes any text there is nothing wrong to send.
        assert mode == GenerationMode.NEGATIVE, operation.label


def modes_of(operation):
    """Yield no negative mode for what takes nothing at all."""
    yield GenerationMode.POSITIVE
    if operation.body or operation.query or operation.headers or operation.path_parameters:
        yield GenerationMode.NEGATIVE


@pytest.mark.parametrize("part", range(PARTS))
def test_no_request_of_the_owner_breaks_the_api_or_its_description(
    api, ids, alice, exceptions, part
):
    headers, problems = bearer(alice), []

    def attempt(case, place):
        if place and case.path_parameters:  # one in five keeps what was made up
            case.path_parameters |= real(case.operation, ids[place % len(ids)])
        exceptions.clear()
        response = sent(case, headers)
        problems.extend(problems_of(case, response, exceptions))

    for operation in operations_of(api, part):
        for mode in modes_of(operation):
            try_all(operation, mode, attempt)
    assert not problems, "\n\n".join(problems)


def problems_of(case, response, exceptions):
    """Return what the answer does against the description, in words; nothing, as a rule."""
    try:
        case.validate_response(response, checks=CHECKS.get_by_names(HELD_TO))
    except (BaseExceptionGroup, AssertionError) as failed:
        return [report(case, response, failed, exceptions)]
    return []


def report(case, response, failed, exceptions):
    causes = getattr(failed, "exceptions", [failed])
    said = "\n".join(str(cause)[:1500] for cause in causes)
    raised = "".join(f"\nraised: {error!r}"[:1500] for error in exceptions)
    return (
        f"{case.operation.label}: {response.status_code}\n{case.as_curl_command()[:1500]}\n"
        f"{response.content[:600]!r}\n{said}{raised}"
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_a_stranger_finds_nothing_of_others_whatever_he_sends(api, ids, charlie, part):
    headers, problems = bearer(charlie), []

    def attempt(case, place):
        case.path_parameters = real(case.operation, ids[place % len(ids)])
        response = sent(case, headers)
        if response.status_code != 404 and not is_unreadable(response):
            problems.append(f"{case.operation.label}: {response.status_code} {response.content!r}")

    for operation in operations_of(api, part):
        names = names_of(operation)
        if any(name.endswith("_id") for name in names) or (
            "name" in names and operation.path.startswith("/v1/")
        ):
            try_all(operation, GenerationMode.POSITIVE, attempt)
    assert not problems, "\n".join(problems)


def is_unreadable(response):
    """Return whether the body was refused as unreadable, before anything was looked up."""
    return response.status_code == 400 and b'"parse_error"' in response.content


def names_of(operation):
    return [parameter.name for parameter in operation.path_parameters]


def real(operation, ids):
    """Return values for the path: a `name` is a model in OpenAI's paths, else a base."""
    names = {"name": "bank-intents:v1"} if operation.path.startswith("/v1/") else {}
    return {name: (ids | names).get(name, UNKNOWN) for name in names_of(operation)}


NASTY = [
    "",
    "\0",
    "-1",
    "0",
    "9" * 40,
    "1e400",
    "NaN",
    "null",
    "x" * 5_000,
    "\U0001f600\u202e",
    "%",
]
DEEP = json.loads('{"items": ' * 90 + "{}" + "}" * 90)  # less than what is refused unlooked
BODIES = [None, [], {}, 0, "", "\0", [None], {"": None}, DEEP]
# Integers that no column holds, numbers for texts, texts for numbers, and shapes within shapes.
FIELDS = [
    10**400, 2**63, -(2**31) - 1, 1.5e308, True, None, "", " ", "x" * 5_000, "9" * 5_000, "\ud83d",
    "\u202e\U0001f600", [], [None], [[]], {}, {"": None}, [{"input": 1}], {"a": {"b": []}}, DEEP,
]  # fmt: skip
SPOILT = {
    "application/json": b"{",
    "application/json; charset=utf-16": b"{}",
    "text/plain": b"{}",
    "application/xml": b"<a/>",
    "application/x-www-form-urlencoded": b"a=1",
    "multipart/form-data; boundary=x": b"--x",
    "multipart/form-data": b"",
    "nonsense": b"\xff\xfe",
    "application/json; charset=nonsense": b'"\xff"',
}
# Of a server's environment, each with a body that is good.
ODD = [
    {"HTTP_ACCEPT": "text/html"},
    {"HTTP_ACCEPT": "nonsense"},
    {"HTTP_ACCEPT": "*/*;q=most, ,;"},
    {"HTTP_ACCEPT": ""},
    {"HTTP_ACCEPT_LANGUAGE": "\xff;q=2"},
    {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""},
    {"HTTP_CONTENT_ENCODING": "gzip"},
    {"HTTP_HOST": "elsewhere.example"},
    {"HTTP_IDEMPOTENCY_KEY": "k" * 300},
    {"HTTP_IDEMPOTENCY_KEY": "\xff"},
    {"HTTP_IF_NONE_MATCH": "*"},
    {"HTTP_LAST_EVENT_ID": "9" * 40},
    {"HTTP_RANGE": "bytes=9-1"},
    {"HTTP_X_HTTP_METHOD_OVERRIDE": "DELETE"},
    {"HTTP_X_ORGANIZATION": "elsewhere"},
    {"CONTENT_LENGTH": "-1"},
    {"CONTENT_LENGTH": "many"},
    {"CONTENT_LENGTH": "1"},
    {"CONTENT_LENGTH": str(10**12)},
    {"CONTENT_TYPE": ""},
]


@pytest.mark.parametrize("part", range(PARTS))
def test_a_good_request_is_answered_as_the_description_says(api, ids, alice, exceptions, part):
    headers, problems = bearer(alice), []
    for operation in operations_of(api, part):
        is_found = False
        for known in ids:
            path = real(operation, known)
            body = good_body(operation, path, known)
            case = operation.Case(path_parameters=path)
            exceptions.clear()
            response = sent(case, headers, **({"json": body} if body else {}))
            problems += problems_of(case, response, exceptions)
            is_found |= response.status_code != 404
        if not is_found and UNKNOWN not in path.values() and operation.label not in NOT_THERE:
            problems.append(f"{operation.label} found nothing")
    assert not problems, "\n\n".join(problems)


UNKNOWN = "unknown"  # the secret of a link, which is of no use here
# What Acme does not have.
NOT_THERE = {f"{method} /api/v1/bases/{{name}}/fetch" for method in ("GET", "DELETE")}


@pytest.mark.parametrize("part", range(PARTS))
def test_no_nasty_value_breaks_an_operation_or_its_description(api, ids, alice, exceptions, part):
    headers, problems = bearer(alice), []
    for operation in operations_of(api, part):
        for case, more in nasty_cases(operation, ids[0]):
            exceptions.clear()
            response = sent(case, headers | more.pop("headers", {}), **more)
            problems += problems_of(case, response, exceptions)
    assert not problems, "\n\n".join(problems)


def nasty_cases(operation, ids):
    """One thing is nasty at a time, so that nothing else is refused first."""
    path = real(operation, ids)
    first = zlib.crc32(operation.label.encode())
    for place, value in enumerate(NASTY):
        is_tried = len(NASTY) < EXAMPLES or (first + place) % 3 == 0 or value == "\0"
        for parameter in operation.query if is_tried else ():
            yield operation.Case(path_parameters=path, query={parameter.name: value}), {}
        for name in path:
            if not name.endswith("_id") and value:
                yield operation.Case(path_parameters=path | {name: value}), {}
    for place, environ in enumerate(ODD):
        if len(ODD) < EXAMPLES or (first + place) % 5 == 0:
            body = good_body(operation, path, ids)
            more = {"environ_overrides": environ} | ({"json": body} if body else {})
            yield operation.Case(path_parameters=path), more
    if operation.method.upper() in ("POST", "PATCH", "PUT"):
        for body in [*BODIES, *nasty_fields(operation, path, ids)]:
            yield operation.Case(path_parameters=path), {"json": body}
        for media_type, content in SPOILT.items():
            more = {"headers": {"Content-Type": media_type}, "data": content}
            yield operation.Case(path_parameters=path), more


def nasty_fields(operation, path, ids):
    """One field of a good body at a time; the short run tries a few values on each."""
    good = good_body(operation, path, ids)
    for body in operation.body:
        if body.media_type == "application/json":
            for name in properties_of(body.definition.get("schema", {})):
                first = zlib.crc32(f"{operation.label} {name}".encode())
                for step in range(min(len(FIELDS), EXAMPLES)):
                    yield good | {name: FIELDS[(first + step) % len(FIELDS)]}


def good_body(operation, path, ids):
    """One that is taken, as far as the matrix of permissions has it."""
    name = resolve(operation.path.format(**path)).url_name
    method, _, *data = API.get(name, ("", ()))
    as_matrix = data[0] if data and method == operation.method.lower() else {}
    good = {**as_matrix, **GOOD.get(f"{operation.method.upper()} {name}", {})}
    return {
        key: value.format(**ids) if isinstance(value, str) and value.startswith("{") else value
        for key, value in good.items()
    }


HOOK = {"url": "https://93.184.216.34/hook"}  # an address of the internet; nothing is sent here
GOOD = {
    "POST api_models": DRAFT | {"rows": 100},
    "POST api_tokens": {"name": "nightly"},
    "POST api_invitations": {"email": "new@example.org", "role": "member"},
    "PATCH api_member": {"role": "admin"},
    "PATCH api_model": {"system_prompt": "Label."},
    "PATCH api_dataset_row": {"answer": "top_up"},
    "POST api_webhooks": HOOK,
    "PATCH api_webhook": {"name": "ours"},
    "POST openai_webhook_endpoints": HOOK | {"event_types": ["fine_tuning.job.failed"]},
    "POST openai_jobs": {"model": "smollm2-135m-instruct", "training_file": "{file_id}"},
    "POST openai_chat_completions": CHAT | {"stream_options": {"include_usage": True}},
}


def properties_of(schema):
    name = schema.get("$ref", "").rpartition("/")[2]
    return schema.get("x-bundled", {}).get(name, schema).get("properties", {})
