"""The playground: base beside tuned, at once and as a stream; the model server is played here."""

import json
import threading

import pytest
from django.urls import reverse

from models_app.serving import client
from models_app.serving.client import Completion, Piece
from modelstation import testing
from modelstation.core.errors import Unavailable, UserFacingError
from modelstation.core.jobs.events import SLOTS
from modelstation.testing import let_go, make_model

pytestmark = pytest.mark.django_db
PROMPT = "Answer with the label only."
DOWN = Unavailable("The model server is not running.", code="model_server_unavailable")
TOO_LONG = UserFacingError("The prompt has 9000 tokens.", code="context_length_exceeded")


class FakeServer:
    """Each file answers with its own words; `fails` holds the errors of some."""

    def __init__(self):
        self.asked = {}
        self.config = None
        self.says = {}
        self.fails = {}
        self.closed = threading.Event()
        self.goes_on = threading.Event()  # a long answer waits for it

    def generate(self, gguf, tokenizer_folder, messages, config=None, *, owner=""):
        name = gguf.parts[-3] if gguf.parts[-2] == "gguf" else "base"
        self.asked[name], self.config, self.owner = messages, config, owner
        if name in self.fails:
            raise self.fails[name]
        text = self.says.get(name, f"{name} says so")
        return Completion(text, prompt_tokens=1207, completion_tokens=2, finish_reason="stop")

    def stream(self, *asked, **options):
        done = self.generate(*asked, **options)
        try:
            for word in done.text.split(" "):
                yield Piece(word if word == done.text.split(" ")[0] else f" {word}")
            if done.text == "for ever":
                while not self.goes_on.wait(0.01):
                    yield Piece(" and ever")
            yield done
        finally:
            self.closed.set()


@pytest.fixture
def server(monkeypatch):
    fake = FakeServer()
    monkeypatch.setattr(client, "health", lambda: True)
    monkeypatch.setattr(client, "generate", fake.generate)
    monkeypatch.setattr(client, "stream", fake.stream)
    yield fake
    fake.goes_on.set()


@pytest.fixture
def model(org):
    return make_model(org, status="ready")


@pytest.fixture
def version(model):
    return make_version(model, 1)


def make_version(model, number, **fields):
    wanted = {"system_prompt": PROMPT, "state": "ready"} | fields
    return testing.make_version(model, number, **wanted)


def url(name, model, org="acme"):
    return reverse(name, args=[org, model.id])


def asked(version, **fields):
    return {"prompt": "Where is my card?", "version": str(version.id)} | fields


def answered(client, version, **fields):
    return client.post(url("playground_answer", version.model), asked(version, **fields))


def streamed(client, version, **fields):
    """The events of a stream: their kinds, and what each said."""
    response = client.post(url("playground_stream", version.model), asked(version, **fields))
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/event-stream")
    text = b"".join(response.streaming_content).decode()
    let_go(response)
    return [read(event) for event in text.split("\n\n") if event.startswith("event")]


def read(event):
    kind, data = event.split("\n")
    return kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))


# --- who may come in ------------------------------------------------------------------------------


def test_a_stranger_gets_404_from_the_playground(as_charlie, server, version):
    assert as_charlie.get(url("playground", version.model)).status_code == 404
    for name in ("playground_answer", "playground_stream"):
        assert as_charlie.post(url(name, version.model), asked(version)).status_code == 404
    assert server.asked == {}


def test_it_talks_only_to_versions_of_its_own_model(as_bob, server, version, org):
    other = make_model(org, name="Other")
    own = make_version(other, 1)
    for field in ("version", "other"):
        said = asked(own) | {field: str(version.id)}
        page = as_bob.post(url("playground_answer", other), said)
        assert field in page.context["form"].errors
    assert server.asked == {}


def test_a_model_without_versions_says_when_there_will_be_one(as_bob, server, model):
    page = as_bob.get(url("playground", model)).content.decode()
    assert "No version to talk to yet" in page


# --- at once --------------------------------------------------------------------------------------


def test_the_bases_answer_stands_beside_the_tuned_one(as_bob, server, version, org):
    page = answered(as_bob, version)
    names = [answer.column.name for answer in page.context["answers"]]
    assert names == ["base", "tuned"]
    assert server.asked["base"] == server.asked["v1"]
    assert server.asked["v1"] == [
        {"role": "system", "content": PROMPT},
        {"role": "user", "content": "Where is my card?"},
    ]
    assert server.owner == str(org.id)
    text = page.content.decode()
    for said in ("base says so", "v1 says so", "1,207 tokens read, 2 written in"):
        assert said in text


def test_a_chosen_other_version_answers_under_its_own_prompt(as_bob, server, version):
    second = make_version(version.model, 2, system_prompt="Be brief.")
    page = answered(as_bob, second, other=str(version.id), system_prompt="Be brief.")
    assert [a.column.title for a in page.context["answers"]][1:] == ["Tuned, v2", "Tuned, v1"]
    systems = {name: said[0]["content"] for name, said in server.asked.items()}
    assert systems == {"base": "Be brief.", "v2": "Be brief.", "v1": PROMPT}


def test_an_edited_system_prompt_is_for_all_of_them(as_bob, server, version):
    answered(as_bob, version, system_prompt="Answer\r\nin Latin.")
    systems = {said[0]["content"] for said in server.asked.values()}
    assert systems == {"Answer\nin Latin."}


def test_what_was_set_reaches_the_model_and_the_rest_has_defaults(as_bob, server, version):
    schema = {"type": "object"}
    answered(
        as_bob, version, temperature="0.7", max_tokens="9", seed="4", schema=json.dumps(schema)
    )
    config = server.config
    assert (config.temperature, config.max_new_tokens, config.seed) == (0.7, 9, 4)
    assert config.json_schema == schema
    answered(as_bob, version)
    config = server.config
    assert (config.temperature, config.max_new_tokens, config.seed) == (0, 256, None)
    assert config.json_schema is None


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("prompt", "", "required"),
        ("prompt", "x" * 32_001, "at most 32000"),
        ("temperature", "3", "less than or equal to 2"),
        ("temperature", "nan", "Enter a number"),
        ("max_tokens", "0", "greater than or equal to 1"),
        ("seed", "-1", "greater than or equal to 0"),
        ("schema", "{", "This is not JSON: Expecting property name"),
        ("schema", "[]", "it must be a JSON object"),
        ("schema", '{"type": "objekt"}', "it is not valid at type"),
        ("schema", '{"$ref": "http://127.0.0.1:1/x"}', "nothing is fetched"),
        (
            "schema",
            '{"properties": {"a": {"$ref": "#/nowhere"}}}',
            "“#/nowhere” leads to no part of it",
        ),
        ("schema", "[" * 9_000, "nested more than 32 deep"),
        ("turns", "x" * 200_001, "Begin a new one"),
    ],
)
def test_an_error_stands_beside_its_field(as_bob, server, version, field, value, message):
    page = answered(as_bob, version, **{field: value})
    assert page.status_code == 200
    assert message in " ".join(page.context["form"].errors[field])
    assert server.asked == {}


def test_each_answer_says_whether_it_fits_the_schema(as_bob, server, version):
    server.says = {"base": "No idea.", "v1": '{"amount": "ten"}'}
    schema = '{"type": "object", "properties": {"amount": {"type": "number"}}}'
    base, tuned = answered(as_bob, version, schema=schema).context["answers"]
    assert base.misfit == "It is not JSON."
    assert tuned.misfit == "At amount: 'ten' is not of type 'number'."
    server.says = {"v1": '{"amount": 10}'}
    page = answered(as_bob, version, schema=schema)
    assert page.context["answers"][1].misfit == ""
    assert "fits the schema" in page.content.decode()


def test_a_failure_of_one_stands_in_its_place(as_bob, server, version):
    server.fails = {"base": TOO_LONG}
    base, tuned = answered(as_bob, version).context["answers"]
    assert (base.error.code, tuned.text) == ("context_length_exceeded", "v1 says so")


def test_a_model_server_that_is_down_is_an_alert_and_no_error_page(
    as_bob, server, version, monkeypatch
):
    monkeypatch.setattr(client, "health", lambda: False)
    server.fails = {"base": DOWN, "v1": DOWN}
    page = as_bob.get(url("playground", version.model)).content.decode()
    assert "model server is not running" in page
    answer = answered(as_bob, version)
    assert answer.status_code == 200
    assert answer.content.decode().count("The model server is not running.") == 2


# --- several turns --------------------------------------------------------------------------------


def test_a_conversation_goes_on_for_each_column_by_itself(as_bob, server, version):
    first = answered(as_bob, version)
    turns = first.context["turns"]
    second = answered(as_bob, version, prompt="And now?", turns=turns, go_on="on")
    assert [turn["content"] for turn in server.asked["v1"][1:]] == [
        "Where is my card?",
        "v1 says so",
        "And now?",
    ]
    assert server.asked["base"][2]["content"] == "base says so"
    tuned = second.context["answers"][1]
    assert tuned.said["input"] == ("user: Where is my card?\nassistant: v1 says so\nuser: And now?")
    assert len(json.loads(second.context["turns"])) == 2


def test_without_that_wish_each_question_stands_alone(as_bob, server, version):
    turns = answered(as_bob, version).context["turns"]
    answered(as_bob, version, turns=turns)
    assert len(server.asked["v1"]) == 2


@pytest.mark.parametrize("turns", ["nonsense", "[1]", '[{"user": 1}]', '{"a": 2}', "[" * 9_000])
def test_turns_that_cannot_be_read_begin_a_new_conversation(as_bob, server, version, turns):
    answered(as_bob, version, turns=turns, go_on="on")
    assert len(server.asked["v1"]) == 2


# --- as a stream ----------------------------------------------------------------------------------


def test_pieces_come_in_their_columns_then_the_answers_then_the_turns(as_bob, server, version):
    events = streamed(as_bob, version)
    assert (events[0][0], events[-1][0]) == ("begin", "end")
    assert 'data-column="tuned"' in events[0][1]["html"]
    for column, says in (("base", "base says so"), ("tuned", "v1 says so")):
        own = [(kind, said) for kind, said in events if said.get("column") == column]
        assert "".join(said["text"] for kind, said in own if kind == "piece") == says
        kind, said = own[-1]
        assert kind == "answer"
        assert says in said["html"]
        assert "1,207 tokens read" in said["html"]
    assert json.loads(events[-1][1]["turns"])[0]["answers"]["tuned"] == "v1 says so"


def test_what_a_model_says_is_never_markup(as_bob, server, version):
    server.says = {"v1": "<script>alert(1)</script>"}
    html = "".join(said.get("html", "") for _, said in streamed(as_bob, version))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_a_failure_in_the_stream_stands_in_its_column(as_bob, server, version):
    server.fails = {"v1": TOO_LONG}
    answers = {s["column"]: s["html"] for kind, s in streamed(as_bob, version) if kind == "answer"}
    assert "The prompt has 9000 tokens." in answers["tuned"]
    assert "base says so" in answers["base"]


def test_a_bug_in_the_stream_shows_no_traceback(as_bob, server, version):
    server.fails = {"v1": ZeroDivisionError("secret")}
    text = json.dumps(streamed(as_bob, version))
    assert "Something went wrong on our side" in text
    assert "secret" not in text


def test_what_cannot_be_asked_is_a_fragment_that_says_why(as_bob, server, version):
    said = asked(version, schema="{")
    response = as_bob.post(url("playground_stream", version.model), said)
    assert response.status_code == 422
    assert "This is not JSON" in response.content.decode()


def test_a_stream_holds_a_slot_and_others_are_told_to_wait(as_bob, server, version, settings):
    settings.EVENT_STREAMS_PER_ORGANIZATION = 1
    address = url("playground_stream", version.model)
    first = as_bob.post(address, asked(version))
    second = as_bob.post(address, asked(version))
    assert (second.status_code, second["Retry-After"]) == (429, "10")
    assert "Too many answers" in second.content.decode()
    let_go(first)
    third = as_bob.post(address, asked(version))
    assert third.status_code == 200
    let_go(third)


def test_a_reader_that_leaves_frees_the_slot_and_stops_the_answers(
    as_bob, server, version, settings
):
    settings.EVENT_STREAMS_PER_ORGANIZATION = 1
    server.says = {"base": "for ever", "v1": "for ever"}
    response = as_bob.post(url("playground_stream", version.model), asked(version))
    events = iter(response.streaming_content)
    for _ in range(4):
        next(events)
    server.closed.clear()
    let_go(response)
    assert server.closed.wait(10)
    give_back = SLOTS.take(version.org_id)
    assert give_back is not None
    give_back()


def test_a_silent_model_is_waited_for_with_signs_of_life(as_bob, server, version, monkeypatch):
    monkeypatch.setattr("models_app.playground.views.PAGE_HEARTBEAT_SECONDS", 0.01)
    waits = threading.Event()
    monkeypatch.setattr(client, "stream", lambda *a, **o: _after(waits, server.stream(*a, **o)))
    response = as_bob.post(url("playground_stream", version.model), asked(version))
    events = iter(response.streaming_content)
    next(events)
    assert next(events) == b": still here\n\n"
    waits.set()
    assert b"event: end" in b"".join(events)
    let_go(response)


def _after(event, pieces):
    event.wait(10)
    yield from pieces


def test_the_answer_of_a_version_can_be_called_wrong_and_a_bases_cannot(as_bob, server, version):
    answers = {s["column"]: s["html"] for kind, s in streamed(as_bob, version) if kind == "answer"}
    assert reverse("correction_new", args=["acme", version.model.id]) in answers["tuned"]
    assert 'name="wrong_answer" value="v1 says so"' in answers["tuned"]
    assert "Wrong answer?" not in answers["base"]
