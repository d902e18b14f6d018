"""The playground over a real model server and a tiny llama."""

import json

import pytest
from django.urls import reverse

from models_app.tests.gateway.test_served import model_server, var, version  # noqa: F401
from models_app.tests.playground.test_playground import read
from modelstation.testing import let_go

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
SCHEMA = {"enum": ["lost_card", "top_up"]}


def answers_of(client, version, **fields):  # noqa: F811
    """Each column's own text as it was streamed, and its end."""
    asked = {"prompt": "classify the message", "version": str(version.id), "max_tokens": "40"}
    address = reverse("playground_stream", args=["acme", version.model_id])
    response = client.post(address, asked | fields)
    events = b"".join(response.streaming_content).decode().split("\n\n")
    let_go(response)
    told = [read(event) for event in events if event.startswith("event")]
    text = "".join(said["text"] for kind, said in told if kind == "piece")
    return text, {said["column"]: said["html"] for kind, said in told if kind == "answer"}


def test_an_answer_streams_and_is_held_to_its_schema(model_server, version, as_bob):  # noqa: F811
    streamed, answers = answers_of(as_bob, version, schema=json.dumps(SCHEMA))
    assert json.loads(streamed) in SCHEMA["enum"]
    assert "fits the schema" in answers["tuned"]
    assert 'role="alert"' in answers["base"]  # no file of it is here, and it says so


def test_a_prompt_beyond_the_context_is_refused_in_its_column(
    model_server,  # noqa: F811
    version,  # noqa: F811
    as_bob,
):
    _, answers = answers_of(as_bob, version, prompt="message " * 3_999)
    assert "Shorten the messages" in answers["tuned"]
