"""Bases are fetched from a hub of our own, over HTTP, by the real library."""

import json
import shutil
import threading

import pytest

from accounts.models import AuditEntry
from models_app import tasks
from models_app.bases.fetching import arriving_folder, cancel_fetch, submit_fetch
from models_app.bases.offers import mirror_catalogue
from models_app.models import BaseFetch, FoundationModel
from models_app.tests.bases.fake_base_hub import FakeBaseHub
from models_app.tests.tiny_bases import REPO, REVISION, make_tiny_base
from modelstation.core.artifacts import verify
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
from modelstation.lm.bases.files import make_ready
from modelstation.lm.loading import base_folder, load_causal_lm

pytestmark = pytest.mark.django_db
WEIGHTS = "model.safetensors"


@pytest.fixture
def source(tmp_path):
    return tmp_path / "source"


@pytest.fixture
def base(source, monkeypatch, settings, tmp_path):
    settings.MODELS_DIR = tmp_path / "models"
    settings.MODELS_DIR.mkdir()
    base = make_tiny_base(source, monkeypatch)
    mirror_catalogue()
    return base


@pytest.fixture
def hub(base, source, settings, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("modelstation.lm.bases.download.CHUNK_BYTES", 1 << 14)
    # A heartbeat has a connection of its own, which sees nothing of a test's open transaction.
    monkeypatch.setattr("modelstation.core.jobs.lease.HEARTBEAT_SECONDS", 600)
    hub = FakeBaseHub()
    hub.add(REPO, REVISION, source)
    settings.HF_ENDPOINT = hub.url
    yield hub
    hub.close()


@pytest.fixture
def in_process(monkeypatch):
    """The checks run here instead of in a child, whose start takes seconds."""
    monkeypatch.setattr("models_app.bases.fetching._in_child", lambda lease: make_ready)


@pytest.fixture
def repository(hub):
    return hub.repositories[REPO]


def fetched(org, actor, name="tiny-qwen"):
    """Submitted and run, as a worker does it."""
    fetch = submit_fetch(actor=actor, org=org, name=name)
    return run(fetch)


def run(fetch):
    tasks.run_fetch(str(fetch.job_id))
    return BaseFetch.objects.select_related("job", "base").get(pk=fetch.pk)


def change_json(repository, name, **changes):
    """The hub states size and hash of the changed file: it is the file that is hostile."""
    content = json.loads(repository.files[name]) | changes
    put(repository, name, json.dumps(content).encode())


def put(repository, name, data):
    repository.files[name] = repository.stated_files[name] = data


def test_a_fetched_base_is_complete_verified_and_installed(hub, base, org, alice, settings):
    fetch = fetched(org, alice)

    assert (fetch.job.state, fetch.job.error_text) == ("succeeded", "")
    assert fetch.base.is_installed
    folder = base_folder(settings.MODELS_DIR, base.name)
    manifest = verify(folder)
    assert manifest["facts"]["revision"] == REVISION
    assert {entry["path"] for entry in manifest["files"]} == {
        "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
        "model-q8_0.gguf", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert [path.name for path in settings.MODELS_DIR.iterdir()] == [base.name]
    done = AuditEntry.objects.filter(org=org, action__startswith="base.").order_by("id")
    assert [entry.action for entry in done] == ["base.fetch", "base.fetched"]


@pytest.mark.usefixtures("in_process")
def test_a_fetched_base_answers_as_the_one_on_the_hub(hub, base, org, alice, settings, source):
    import torch

    fetched(org, alice)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        there = load_causal_lm(source, torch.float32)(ids).logits
        here = load_causal_lm(settings.MODELS_DIR / base.name, torch.float32)(ids).logits
    assert torch.equal(there, here)


@pytest.mark.usefixtures("in_process")
def test_pickles_and_scripts_are_never_requested(hub, base, org, alice, repository):
    put(repository, "pytorch_model.bin", b"\x80\x04")
    put(repository, "modeling_evil.py", b"import os")
    put(repository, "sub/model.safetensors", b"x")

    assert fetched(org, alice).job.state == "succeeded"
    assert {path for path, _ in hub.requests} == {
        "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
        "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip


@pytest.mark.usefixtures("in_process")
def test_code_in_configs_does_not_come_along(hub, base, org, alice, repository, settings):
    remote = {"AutoModelForCausalLM": "modeling_evil.Evil"}
    quantized = {"quant_method": "gptq"}
    change_json(repository, "config.json", auto_map=remote, quantization_config=quantized)
    change_json(repository, "tokenizer_config.json", auto_map=remote, tokenizer_class="Evil")

    assert fetched(org, alice).job.state == "succeeded"
    for name in ("config.json", "tokenizer_config.json"):
        text = (settings.MODELS_DIR / base.name / name).read_text()
        assert not any(word in text for word in ("auto_map", "Evil", "gptq", "evil"))


@pytest.mark.usefixtures("in_process")
def test_a_cut_connection_goes_on_where_it_broke(hub, base, org, alice, repository):
    hub.cut_after[WEIGHTS] = len(repository.files[WEIGHTS]) // 2

    assert fetched(org, alice).job.state == "succeeded"
    first, second = [requested for path, requested in hub.requests if path == WEIGHTS]
    assert first is None
    assert second.startswith("bytes=")


@pytest.mark.usefixtures("in_process")
def test_a_fetch_that_died_goes_on_where_it_was_left(hub, base, org, alice, repository):
    arriving = arriving_folder(base)
    arriving.mkdir()
    half = len(repository.files[WEIGHTS]) // 2
    (arriving / f"{WEIGHTS}.part").write_bytes(repository.files[WEIGHTS][:half])
    (arriving / "config.json").write_bytes(repository.files["config.json"])

    assert fetched(org, alice).job.state == "succeeded"
    assert (WEIGHTS, f"bytes={half}-") in hub.requests
    assert "config.json" not in {path for path, _ in hub.requests}


@pytest.mark.usefixtures("in_process")
def test_a_damaged_rest_is_thrown_away_and_fetched_anew(hub, base, org, alice, repository):
    arriving = arriving_folder(base)
    arriving.mkdir()
    (arriving / f"{WEIGHTS}.part").write_bytes(b"\0" * 1000)

    assert fetched(org, alice).job.error_code == "hub_file_damaged"
    assert fetched(org, alice).job.state == "succeeded"


def flip(data):
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("name", [WEIGHTS, "tokenizer.json", "config.json"])
@pytest.mark.parametrize("damage", [flip, lambda data: data[:-7], lambda data: data + b"x" * 7])
def test_a_file_that_is_not_as_stated_is_refused(hub, base, org, alice, repository, name, damage):
    repository.files[name] = damage(repository.files[name])

    fetch = fetched(org, alice)

    assert (fetch.job.state, fetch.job.error_code) == ("failed", "hub_file_damaged")
    assert not fetch.base.is_installed
    assert not FoundationModel.objects.get(name=base.name).is_installed


def test_another_revision_than_the_pinned_one_is_refused(hub, base, org, alice, repository):
    repository.stated_revision = "b" * 40
    assert fetched(org, alice).job.error_code == "hub_wrong_revision"
    repository.revision = "b" * 40
    assert fetched(org, alice).job.error_code == "hub_not_found"
    assert hub.requests == []


@pytest.mark.parametrize(
    ("status", "code"), [(401, "hub_not_found"), (404, "hub_not_found"), (503, "hub_trouble")]
)
def test_what_the_hub_refuses_is_said_in_plain_words(
    hub, base, org, alice, status, code, monkeypatch
):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the library waits between its tries
    hub.fail_with["info"] = status
    assert fetched(org, alice).job.error_code == code
    hub.fail_with = {WEIGHTS: status}
    fetch = fetched(org, alice)
    assert fetch.job.error_code == code
    assert "again" in fetch.job.error_text or "HF_ENDPOINT" in fetch.job.error_text


def test_a_hub_out_of_reach_is_said(hub, base, org, alice, settings, monkeypatch):
    settings.HF_ENDPOINT = "http://127.0.0.1:9"
    fetch = fetched(org, alice)
    assert fetch.job.error_code == "hub_unreachable"
    assert "fetch_base" in fetch.job.error_text
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert fetched(org, alice).job.error_code == "hub_unreachable"


def evil_index(repository):
    weights = repository.files.pop(WEIGHTS)
    del repository.stated_files[WEIGHTS]
    put(repository, "model-00001-of-00001.safetensors", weights)
    index = {"weight_map": {"model.norm.weight": "../../../etc/passwd"}}
    put(repository, "model.safetensors.index.json", json.dumps(index).encode())


HOSTILE = {
    "of another architecture": lambda r: change_json(r, "config.json", model_type="mamba"),
    "of other sizes": lambda r: change_json(r, "config.json", hidden_size=128),
    "with a strange head": lambda r: change_json(r, "config.json", head_dim=1 << 40),
    "with scaled rope": lambda r: change_json(
        r, "config.json", rope_parameters={"rope_type": "yarn"}
    ),
    "no JSON": lambda r: put(r, "config.json", b"not json"),
    "a list": lambda r: put(r, "tokenizer_config.json", b"[1]"),
    "deep JSON": lambda r: put(r, "generation_config.json", b'{"a":' * 100_000 + b"}" * 100_000),
    "an index that leads elsewhere": evil_index,
    "weights that are none": lambda r: put(r, WEIGHTS, b"\x80\x04." * 99),
    "weights with a giant header": lambda r: put(r, WEIGHTS, b"\xff" * 64),
    "weights cut off": lambda r: put(r, WEIGHTS, r.files[WEIGHTS][:-64]),
    "a template that shouts": lambda r: put(
        r, "chat_template.jinja", b"{% for m in messages %}{{ m.content | upper }}{% endfor %}"
    ),
    "a template that reaches out": lambda r: put(
        r, "chat_template.jinja", b"{{ ''.__class__.__mro__[1].__subclasses__() }}"
    ),
    "an unknown cut": lambda r: change_json(
        r, "tokenizer.json", pre_tokenizer={"type": "Whitespace"}
    ),
    "no tokenizer": lambda r: put(r, "tokenizer.json", b"{}"),
}


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_repository_is_refused_and_leaves_nothing(
    hub, base, org, alice, repository, settings, what
):
    HOSTILE[what](repository)
    refused_with_nothing_left(fetched(org, alice), base, settings)


def test_what_the_child_refuses_reaches_the_user(hub, base, org, alice, repository, settings):
    HOSTILE["deep JSON"](repository)
    refused_with_nothing_left(fetched(org, alice), base, settings)


def refused_with_nothing_left(fetch, base, settings):
    assert (fetch.job.state, fetch.job.error_code) == ("failed", "base_refused")
    assert "not taken" in fetch.job.error_text
    assert not fetch.base.is_installed
    assert not (settings.MODELS_DIR / base.name).exists()
    assert [p for p in settings.MODELS_DIR.iterdir() if base.revision[:12] not in p.name] == []


def test_a_repository_without_safetensors_is_refused_before_a_download(
    hub, base, org, alice, repository
):
    del repository.stated_files[WEIGHTS]
    put(repository, "pytorch_model.bin", b"\x80\x04")

    assert fetched(org, alice).job.error_code == "base_refused"
    assert hub.requests == []


def test_too_little_disk_is_said_before_a_download(hub, base, org, alice, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=10_000)
    monkeypatch.setattr("models_app.bases.fetching.shutil.disk_usage", lambda folder: usage)

    fetch = fetched(org, alice)

    assert fetch.job.error_code == "disk_full"
    assert "GB" in fetch.job.error_text
    assert hub.requests == []


@pytest.mark.django_db(transaction=True)
def test_a_cancelled_fetch_stops_and_leaves_nothing(hub, base, org, alice, settings, monkeypatch):
    monkeypatch.setattr("modelstation.core.jobs.lease.HEARTBEAT_SECONDS", 0.05)
    hub.hold_after[WEIGHTS] = 1 << 16
    fetch = submit_fetch(actor=alice, org=org, name=base.name)

    def cancel():
        assert hub.held.wait(20)
        cancel_fetch(actor=alice, fetch=BaseFetch.objects.select_related("job").get(pk=fetch.pk))
        lease_sees_it.wait(20)
        hub.go_on.set()

    lease_sees_it = watched_cancel(monkeypatch)
    canceller = threading.Thread(target=in_own_connection(cancel))
    canceller.start()
    ended = run(fetch)
    canceller.join()

    assert ended.job.state == "cancelled"
    assert list(settings.MODELS_DIR.iterdir()) == []
    actions = AuditEntry.objects.filter(org=org).values_list("action", flat=True)
    assert {"base.fetch_cancel", "base.fetch_cancelled"} <= set(actions)


def watched_cancel(monkeypatch):
    """An event that is set when the worker's lease has seen the cancel."""
    from modelstation.core.jobs.lease import Lease

    seen = threading.Event()

    def watched(ask):
        def asking(self):
            ask(self)
            if self.cancelled:
                seen.set()

        return asking

    for name in ("beat", "look"):
        monkeypatch.setattr(Lease, name, watched(getattr(Lease, name)))
    return seen


def in_own_connection(action):
    from django.db import connection

    def run():
        try:
            action()
        finally:
            connection.close()

    return run


@pytest.mark.usefixtures("in_process")
def test_a_base_is_fetched_once_at_a_time_and_not_when_it_is_there(hub, base, org, alice):
    fetch = submit_fetch(actor=alice, org=org, name=base.name)
    with pytest.raises(UserFacingError, match="being fetched"):
        submit_fetch(actor=alice, org=org, name=base.name)
    run(fetch)
    with pytest.raises(UserFacingError, match="already"):
        submit_fetch(actor=alice, org=org, name=base.name)
    with pytest.raises(UserFacingError, match="no base"):
        submit_fetch(actor=alice, org=org, name="gpt-9")


@pytest.mark.usefixtures("in_process")
def test_a_requeued_fetch_goes_on_under_its_new_job(hub, base, org, alice, monkeypatch):
    hub.fail_with["info"] = 404
    fetch = fetched(org, alice)
    hub.fail_with.clear()
    again = jobs.requeue(fetch.job)
    tasks.run_fetch(str(again.id))
    fetch.refresh_from_db()
    assert (fetch.job_id, fetch.job.state) == (again.id, "succeeded")


@pytest.mark.usefixtures("in_process")
def test_progress_is_said_in_bytes(hub, base, org, alice, repository):
    fetch = fetched(org, alice)
    stages = fetch.job.events.filter(kind="stage").values_list("message", flat=True)
    assert [stage.split()[0] for stage in stages] == ["Asking", "Downloading", "Checking"]


def test_a_cancelled_wait_starts_nothing(hub, base, org, alice):
    fetch = submit_fetch(actor=alice, org=org, name=base.name)
    cancel_fetch(actor=alice, fetch=fetch)
    assert run(fetch).job.state == Job.State.CANCELLED
    assert hub.requests == []
    with pytest.raises(UserFacingError, match="not being fetched"):
        cancel_fetch(actor=alice, fetch=run(fetch))
