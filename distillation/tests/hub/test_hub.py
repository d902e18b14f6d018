"""The hub is searched by rows and imported at a pinned revision, within bounds and licences."""

import csv
import gzip
import io
import json

import numpy as np
import pyarrow as pa
import pytest
from huggingface_hub import HfApi
from pyarrow import parquet

from accounts.models import Organization
from distillation.hub import bounds, client, runner, services
from distillation.hub.bounds import Budget, HubError, bounded
from distillation.hub.candidates import Candidate, HubFile, Plan, license_problem, parts_of
from distillation.models import (
    CorpusExample,
    HubImport,
    HubSearch,
    ImportRun,
    ModelSource,
    SourceDataset,
)
from distillation.pipeline.licenses import LicensePolicy
from distillation.tests.hub import fake_hub
from distillation.tests.hub.fake_hub import FakeDataHub
from distillation.tests.imports.test_known_vectors import CountingEmbedder
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.testing import make_model

pytestmark = pytest.mark.django_db
BANK = [
    ("My card is lost", "lost_card"), ("Where is my card?", "card_arrival"),
    ("I cannot find my card", "lost_card"), ("When will the card come", "card_arrival"),
] * 5  # fmt: skip
POEMS = [
    ("Write of the sea", "O waves that roll upon the shore"),
    ("Write of rain", "Drip drop"),
] * 8
EXAMPLES = [{"input": q, "output": a} for q, a in BANK[:4]]
REQUIREMENT = "Label each message of a bank's customer: lost_card or card_arrival."


class WordsEmbedder:
    """Texts of the same words are near each other."""

    def embed(self, texts, *, on_batch=None):
        vectors = np.zeros((len(texts), 384), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split() or [""]:
                vectors[row, hash(word) % 384] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


@pytest.fixture
def hub(settings, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    fake = FakeDataHub()
    settings.HF_ENDPOINT, settings.HUB_SEARCH = fake.url, True
    yield fake
    fake.close()


@pytest.fixture
def model(org):
    return make_model(org, requirement=REQUIREMENT, examples=EXAMPLES)


@pytest.fixture
def light(monkeypatch):
    from distillation.model_data import storing

    monkeypatch.setattr(runner, "_models", lambda: (None, WordsEmbedder()))
    monkeypatch.setitem(storing.store_examples.__kwdefaults__, "embedder", CountingEmbedder)


def jsonl(pairs, question="text", answer="label"):
    return "\n".join(json.dumps({question: q, answer: a}) for q, a in pairs).encode()


def as_csv(pairs, *header):
    out = io.StringIO()
    csv.writer(out).writerows([header, *pairs])
    return out.getvalue().encode()


def as_parquet(pairs, names, question="sentence"):
    table = pa.table({question: [q for q, _ in pairs], "label": [names.index(a) for _, a in pairs]})
    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getvalue()


def class_label(names):
    named = {str(number): name for number, name in enumerate(names)}
    feature = {"name": "label", "dtype": {"class_label": {"names": named}}}
    return {"dataset_info": {"features": [{"name": "sentence", "dtype": "string"}, feature]}}


def api_of(hub, token=False):
    return HfApi(endpoint=hub.url, token=token)


def searched(model, alice):
    search = services.submit_search(actor=alice, model=model)
    jobs.run_job(str(search.job_id), runner.search)
    search.refresh_from_db()
    search.job.refresh_from_db()
    return search


def imported(model, alice, repo, **plan):
    hub_import = services.submit_import(
        actor=alice, model=model, repo_id=repo.id, revision=repo.sha, plan=Plan(**plan)
    )
    jobs.run_job(str(hub_import.run.job_id), runner.load)
    job = ImportRun.objects.get(id=hub_import.run_id).job
    return HubImport.objects.get(id=hub_import.id), job


def found_of(search):
    return [Candidate.from_json(stored) for stored in search.candidates]


# --- Strangers, and the two switches --------------------------------------------------------------


def test_a_stranger_sees_starts_and_imports_nothing(as_charlie, stranger, hub, model):
    page, api = f"/o/acme/models/{model.id}/hub/", f"/api/v1/models/{model.id}"
    assert as_charlie.get(page).status_code == 404
    for action in ("search/", "import/"):
        assert as_charlie.post(page + action).status_code == 404
    for name in ("hub-searches", "hub-imports"):
        assert stranger.get(f"{api}/{name}").status_code == 404
        assert stranger.post(f"{api}/{name}", {}, format="json").status_code in (400, 404)
    assert not HubSearch.objects.exists()
    assert hub.calls == []


def test_the_operators_switch_is_off_by_default_and_the_page_says_so(
    as_alice, api, hub, model, settings, alice
):
    settings.HUB_SEARCH = False
    page = as_alice.get(f"/o/acme/models/{model.id}/hub/").content.decode()
    assert "switched off on this installation" in page
    response = api.post(f"/api/v1/models/{model.id}/hub-searches")
    assert (response.status_code, response.json()["error"]["code"]) == (409, "hub_off")


def test_an_organisation_may_disallow_it(as_alice, api, hub, model, org):
    Organization.objects.filter(pk=org.pk).update(allow_hub_search=False)
    page = as_alice.get(f"/o/acme/models/{model.id}/hub/").content.decode()
    assert "does not allow searches" in page
    response = api.post(f"/api/v1/models/{model.id}/hub-searches")
    assert response.json()["error"]["code"] == "hub_not_allowed"
    assert hub.calls == []


# --- A search -------------------------------------------------------------------------------------


def test_rows_decide_and_not_names(hub, model, alice, light):
    hub.add("acme/bank-intent-verses", {"train.jsonl": jsonl(POEMS)}, downloads=9999)
    tags = ["task_categories:text-classification"]
    hub.add("qx/v7", {"data.csv": as_csv(BANK, "utterance", "intent")}, tags=tags)

    search = searched(model, alice)

    assert search.job.state == "succeeded", search.job.error_text
    first, second = found_of(search)
    assert (first.repo_id, second.repo_id) == ("qx/v7", "acme/bank-intent-verses")
    assert first.columns == "utterance → intent"
    assert first.revision == hub.repos["qx/v7"].sha
    assert first.samples[0].output == "lost_card"
    assert first.can_be_imported
    assert "bank" in search.queries


@pytest.mark.parametrize(
    ("files", "card", "columns"),
    [
        ({"train.jsonl": jsonl(BANK)}, {}, "text → label"),
        (
            {"train.jsonl.gz": gzip.compress(jsonl(BANK, "message", "category"))},
            {},
            "message → category",
        ),
        (
            {"rows.json": json.dumps([{"q": q, "intent": a} for q, a in BANK]).encode()},
            {},
            "q → intent",
        ),
        (
            {"data/train-00000-of-00001.parquet": as_parquet(BANK, ["card_arrival", "lost_card"])},
            class_label(["card_arrival", "lost_card"]),
            "sentence → label (2 named labels)",
        ),
        ({"a.csv": as_csv(BANK, "Anfrage", "Thema")}, {}, "Anfrage → Thema"),
    ],
)  # fmt: skip
def test_rows_of_every_kind_of_file_are_read(hub, files, card, columns):
    hub.add("acme/bank", files, card=card)
    [candidate], rows = runner.look(
        api_of(hub), [client.Query("bank")], LicensePolicy(), lambda *_: None
    )
    assert (candidate.problem, candidate.columns) == ("", columns)
    assert [(row.input, row.output) for row in rows["acme/bank"][:2]] == BANK[:2]


def test_of_large_files_the_beginning_alone_is_read(hub):
    hub.add("acme/large", {"train.jsonl": jsonl(BANK * 20_000)})
    with bounded(hub.url, Budget()) as budget:
        left = budget.bytes
        listing = client.describe(api_of(hub), "acme/large")
        rows = client.some_rows(api_of(hub), listing, listing.train, _folder(), 100)
        spent = left - budget.bytes
    assert len(rows) == 100
    assert spent < client.FIRST_BYTES + client.PLACES * client.PLACE_BYTES + 65_536
    assert rows[-1].line > rows[0].line


def _folder():
    from pathlib import Path
    from tempfile import mkdtemp

    return Path(mkdtemp())


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"license": "cc-by-nc-4.0"}, "forbids commercial use"),
        ({"license": None}, "not stated"),
        ({"license": "unknown"}, "not stated"),
        ({"license": ["mit", "cc-by-nc-sa-4.0"]}, "forbids commercial use"),
        ({"gated": "manual"}, "It is gated"),
        ({"files": {"bank.py": b"print()"}}, "comes as a program"),
        ({"files": {"README.md": b"#"}}, "no file that can be read"),
        ({"files": {"a.jsonl": b'{"x": 1, "y": 2}\n' * 20}}, "not clear which columns"),
        ({"files": {"a.jsonl.gz": b"nonsense"}}, "no gzip file"),
        ({"files": {"a.parquet": b"nonsense" * 9}}, "cut off or damaged"),
    ],
)
def test_what_cannot_be_taken_says_why_and_none_of_its_rows_is_ranked(hub, fields, problem):
    wanted = {"files": {"train.jsonl": jsonl(BANK)}} | fields
    hub.add("acme/bank", wanted.pop("files"), **wanted)
    [candidate], rows = runner.look(
        api_of(hub), [client.Query("bank")], LicensePolicy(), lambda *_: None
    )
    assert problem in candidate.problem
    assert rows == {}
    if "license" in fields or "gated" in fields:
        assert not any(kind == "resolve" for kind, *_ in hub.calls)


def test_a_token_opens_what_is_gated_for_others(hub):
    hub.add("acme/bank", {"train.jsonl": jsonl(BANK)}, gated="manual")
    api = api_of(hub, token=hub.token)
    [candidate], rows = runner.look(api, [client.Query("bank")], LicensePolicy(), lambda *_: None)
    assert (candidate.problem, len(rows)) == ("", 1)
    assert {token for *_, token in hub.calls} == {hub.token}


def test_a_token_whose_account_did_not_accept_the_terms_is_told_so(hub):
    hub.add("acme/bank", {"train.jsonl": jsonl(BANK)}, gated="manual")
    api = api_of(hub, token="hf_" + "x" * 30)
    [candidate], rows = runner.look(api, [client.Query("bank")], LicensePolicy(), lambda *_: None)
    assert (candidate.problem_code, rows) == ("hub_gated", {})


def test_a_token_does_not_follow_to_another_address(hub, settings):
    settings.WEBHOOK_ALLOW_PRIVATE = True
    elsewhere = FakeDataHub()
    elsewhere.repos = hub.repos
    repo = hub.add("acme/bank", {"train.jsonl": jsonl(BANK)})
    port = elsewhere.server.server_address[1]
    path = f"/datasets/acme/bank/resolve/{repo.sha}/train.jsonl"
    hub.faults["resolve", "acme/bank"] = fake_hub.redirect(f"http://localhost:{port}{path}")
    api = api_of(hub, token=hub.token)
    _, rows = runner.look(api, [client.Query("bank")], LicensePolicy(), lambda *_: None)
    elsewhere.close()
    assert list(rows) == ["acme/bank"]
    assert {token for *_, token in elsewhere.calls} == {""}


@pytest.mark.parametrize(
    ("name", "policy", "is_allowed"),
    [
        ("cc-by-4.0", LicensePolicy(), True),
        ("cc-by-nc-4.0", LicensePolicy(), False),
        ("cc-by-nc-4.0", LicensePolicy("named", ("cc-by-nc-4.0",)), True),
        ("unknown", LicensePolicy(), False),
        ("unknown", LicensePolicy(allow_unknown=True), True),
        ("cc-by-sa-4.0", LicensePolicy("permissive"), False),
    ],
)
def test_a_licence_is_taken_only_as_the_policy_says(name, policy, is_allowed):
    assert (license_problem(name, policy) == "") is is_allowed


# --- A hub that is away, slow, or lies ------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (fake_hub.html, "hub_lies"),
        (fake_hub.endless, "hub_too_much"),
        (fake_hub.slow, "hub_too_slow"),
        (fake_hub.packed, "hub_packed"),
        (fake_hub.status(403), "hub_gated"),
        (fake_hub.status(404), "hub_not_found"),
        (lambda call: call.answer(200, b"[1, 2]"), "hub_lies"),
        (lambda call: call.answer(200, b'{"id": "acme/other", "sha": "x"}'), "hub_lies"),
        (fake_hub.redirect("http://10.0.0.1/rows"), "hub_redirect"),
        (fake_hub.redirect("http://169.254.169.254/latest"), "hub_redirect"),
    ],
)
def test_a_lying_description_is_a_sentence(hub, fault, code):
    hub.faults["info"] = fault
    with pytest.raises(HubError) as error, bounded(hub.url, Budget(1 << 20, 2.0)):
        client.describe(api_of(hub), "acme/bank")
    assert error.value.code == code


@pytest.mark.parametrize("fault", [fake_hub.endless, fake_hub.html, fake_hub.slow])
def test_one_bad_data_set_costs_the_others_nothing(hub, fault, monkeypatch):
    monkeypatch.setattr(runner, "SECONDS_PER_LOOK", 1.5)
    hub.add("acme/bank-bad", {"train.parquet": as_parquet(BANK, ["card_arrival", "lost_card"])})
    hub.add("acme/bank-good", {"train.jsonl": jsonl(BANK)})
    hub.faults["resolve", "acme/bank-bad"] = fault
    candidates, rows = runner.look(
        api_of(hub), [client.Query("bank")], LicensePolicy(), lambda *_: None
    )
    problems = {candidate.repo_id: candidate.problem_code for candidate in candidates}
    assert problems["acme/bank-bad"].startswith("hub_")
    assert list(rows) == ["acme/bank-good"]


def test_an_unreachable_hub_fails_the_search_with_a_sentence(hub, model, alice, light, monkeypatch):
    hub.close()
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    search = searched(model, alice)
    assert (search.job.state, search.job.error_code) == ("failed", "hub_unreachable")
    assert search.candidates == []


def test_bounds_are_no_ones_after_them(hub):
    with bounded(hub.url, Budget()):
        pass
    assert bounds._BUDGET.get() is None


# --- An import ------------------------------------------------------------------------------------


def test_rows_are_imported_at_the_pinned_revision_and_used(hub, model, alice, light):
    names = ["card_arrival", "lost_card"]
    files = {"data/train-0.parquet": as_parquet(BANK, names), "data/test-0.parquet": b"no"}
    repo = hub.add("acme/bank", files, card=class_label(names), license="cc-by-4.0")

    hub_import, job = imported(model, alice, repo)

    assert job.state == "succeeded", job.error_text
    run = hub_import.run
    assert (run.rows_added, run.rows_duplicate, run.state) == (4, 16, "done")
    source = SourceDataset.objects.get()
    assert (source.kind, source.origin, source.revision) == ("hub", "acme/bank", repo.sha)
    assert (source.license, source.name, source.org) == ("cc-by-4.0", "hub-acme-bank", model.org)
    assert {row.messages[-1]["content"] for row in CorpusExample.objects.all()} == set(names)
    assert ModelSource.objects.get().source == source
    assert hub_import.license == "cc-by-4.0"
    assert all(repo.sha in path for kind, path, _ in hub.calls if kind == "resolve")


def test_columns_part_and_number_of_rows_can_be_chosen(hub, model, alice, light):
    rows = [{"a": q, "b": a, "text": "no", "label": "no"} for q, a in BANK[:4]]
    data = "\n".join(map(json.dumps, rows)).encode()
    repo = hub.add("acme/bank", {"en/train.jsonl": b"{}", "de/train.jsonl": data})
    hub_import, job = imported(
        model, alice, repo, config="de", split="train", user="a", assistant="b", max_rows=3
    )
    assert job.state == "succeeded", job.error_text
    assert hub_import.run.rows_added == 3
    assert SourceDataset.objects.get().name == "hub-acme-bank-de"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"license": "cc-by-nc-4.0"}, "license_not_allowed"),
        ({"license": None}, "license_not_allowed"),
        ({"gated": "auto"}, "hub_gated"),
    ],
)
def test_what_may_not_be_taken_is_not_imported_whatever_was_said_before(
    hub, model, alice, light, change, code
):
    repo = hub.add("acme/bank", {"train.jsonl": jsonl(BANK)}, **change)
    _, job = imported(model, alice, repo)
    assert (job.state, job.error_code) == ("failed", code)
    assert not SourceDataset.objects.exists()
    assert not any(kind == "resolve" for kind, *_ in hub.calls)


def test_a_file_that_is_not_what_the_hub_states_leaves_nothing(hub, model, alice, light):
    names = ["card_arrival", "lost_card"]
    repo = hub.add("acme/bank", {"train.parquet": as_parquet(BANK, names)}, card=class_label(names))
    hub.faults["resolve", "acme/bank"] = lambda call: call.answer(
        200, b"x" * len(repo.files["train.parquet"])
    )
    _, job = imported(model, alice, repo)
    assert (job.state, job.error_code) == ("failed", "hub_file_damaged")
    assert not SourceDataset.objects.exists()


def test_a_revision_that_is_gone_is_a_sentence(hub, model, alice, light):
    repo = hub.add("acme/bank", {"train.jsonl": jsonl(BANK)})
    old = services.submit_import(
        actor=alice, model=model, repo_id=repo.id, revision="a" * 40, plan=Plan()
    )
    jobs.run_job(str(old.run.job_id), runner.load)
    job = ImportRun.objects.get(id=old.run_id).job
    assert (job.state, job.error_code) == ("failed", "hub_not_found")


@pytest.mark.parametrize(
    ("repo_id", "revision"),
    [("acme/bank", "main"), ("acme/../bank", "a" * 40), ("http://x/y", "a" * 40), ("", "a" * 40)],
)
def test_a_branch_or_a_strange_name_is_refused_before_any_job(hub, model, alice, repo_id, revision):
    with pytest.raises(UserFacingError):
        services.submit_import(
            actor=alice, model=model, repo_id=repo_id, revision=revision, plan=Plan()
        )
    assert not ImportRun.objects.exists()


# --- Small parts ----------------------------------------------------------------------------------


def test_parts_are_those_of_the_card_or_of_the_paths():
    files = [HubFile(p, 10) for p in ("en/train-0.parquet", "en/test.parquet", "de/train.parquet")]
    guessed = [(part.config, part.split) for part in parts_of(files, [])]
    assert sorted(guessed) == [("de", "train"), ("en", "test"), ("en", "train")]
    card = [{"config_name": "all", "data_files": [{"split": "train", "path": "*/train*.parquet"}]}]
    for pattern in ("data/**/a*.parquet", "*a" * 90 + "!"):  # none, and soon
        hostile = [{"data_files": [{"path": pattern}]}]
        assert parts_of([HubFile("a" * 250 + ".csv", 1)], hostile)[0].config != "all"
    [part] = parts_of(files, card)
    assert (part.config, part.split, len(part.files)) == ("all", "train", 2)
