"""The page and the API of the hub: what was found, why the rest cannot be taken, and imports."""

import pytest

from distillation.hub import services
from distillation.hub.candidates import Candidate, Plan, Sample
from distillation.models import HubImport, HubSearch, ImportRun
from modelstation.core.models import Job
from modelstation.testing import make_model, make_org

pytestmark = pytest.mark.django_db
SHA = "a" * 40
GOOD = Candidate(
    repo_id="qx/v7",
    revision=SHA,
    license="cc-by-4.0",
    languages=("en",),
    config="default",
    split="train",
    parts=("default / train",),
    bytes=2_000_000,
    columns="utterance → intent",
    verdict="serves",
    fit="its rows help to find your answers 90% as much as your own examples do",
    samples=(Sample("My card <is> lost", "lost_card"),),
)
NC = Candidate("nc/bank", SHA, "cc-by-nc-4.0").refused("Its licence forbids it.", "license")


@pytest.fixture
def model(org, settings):
    settings.HUB_SEARCH = True
    return make_model(org)


def searched(model, state="succeeded", **fields):
    job = Job.objects.create(
        org=model.org, kind="hub_search", queue="distil", subject_id=model.id,
        **({"state": state, "finished_at": "2026-01-01T00:00Z"} if state != "queued" else {}),
    )  # fmt: skip
    candidates = [GOOD.to_json(), NC.to_json()]
    wanted = {"candidates": candidates, "queries": ["bank"]} | fields
    return HubSearch.objects.create(org=model.org, model=model, job=job, **wanted)


def page_of(client, model):
    response = client.get(f"/o/acme/models/{model.id}/hub/")
    assert response.status_code == 200
    return response.content.decode()


def test_the_page_shows_what_was_found_and_why_the_rest_cannot_be_taken(as_alice, model):
    searched(model)
    page = page_of(as_alice, model)
    for shown in ("qx/v7", "cc-by-4.0", "utterance → intent", SHA[:12], "90% as much", "Serves"):
        assert shown in page
    assert "My card &lt;is&gt; lost" in page
    assert "nc/bank: Its licence forbids it." in page
    assert page.count("Import<") == 1


def test_while_it_searches_the_page_asks_again(as_alice, model):
    searched(model, state="queued", candidates=[])
    page = page_of(as_alice, model)
    assert 'hx-trigger="every 2s"' in page
    assert "Search again" not in page


def test_a_candidate_is_kept_as_it_was():
    assert Candidate.from_json(GOOD.to_json()) == GOOD


def test_a_search_and_an_import_are_started_by_a_click(as_alice, model):
    url = f"/o/acme/models/{model.id}/hub/"
    as_alice.post(f"{url}search/")
    assert HubSearch.objects.get().job.kind == "hub_search"
    wanted = {"repo_id": "qx/v7", "revision": SHA, "part": "de / train", "max_rows": "7"}
    response = as_alice.post(f"{url}import/", wanted)
    hub_import = HubImport.objects.get()
    assert response.url == f"/o/acme/imports/{hub_import.run_id}/"
    assert Plan(**hub_import.plan) == Plan("de", "train", max_rows=7)
    assert as_alice.get(response.url).status_code == 200


def test_two_searches_and_two_imports_of_one_thing_at_once_are_one(as_alice, api, model):
    for _ in range(2):
        as_alice.post(f"/o/acme/models/{model.id}/hub/search/")
    assert HubSearch.objects.count() == 1
    body = {"repo_id": "qx/v7", "revision": SHA}
    url = f"/api/v1/models/{model.id}/hub-imports"
    assert api.post(url, body, format="json").status_code == 201
    assert api.post(url, body, format="json").json()["error"]["code"] == "hub_import_busy"


def test_what_a_search_saw_under_a_closed_licence_is_refused_before_any_job(api, model):
    searched(model)
    response = api.post(
        f"/api/v1/models/{model.id}/hub-imports",
        {"repo_id": "nc/bank", "revision": SHA},
        format="json",
    )
    assert (response.status_code, response.json()["error"]["code"]) == (400, "license_not_allowed")
    assert not ImportRun.objects.exists()


def test_the_api_shows_searches_and_imports_of_this_model_alone(api, model, alice):
    search = searched(model)
    other = make_model(make_org("Other"))
    foreign = searched(other)
    url = f"/api/v1/models/{model.id}/hub-searches"
    [shown] = api.get(url).json()["results"]
    assert (shown["id"], shown["state"]) == (str(search.id), "succeeded")
    assert [one["repo_id"] for one in shown["candidates"]] == ["qx/v7", "nc/bank"]
    assert api.get(f"{url}/{search.id}").json()["queries"] == ["bank"]
    assert api.get(f"{url}/{foreign.id}").status_code == 404
    made = services.submit_import(
        actor=alice, model=model, repo_id="qx/v7", revision=SHA, plan=Plan()
    )
    shown = api.get(f"/api/v1/models/{model.id}/hub-imports/{made.id}").json()
    assert (shown["repo_id"], shown["run"]["state"]) == ("qx/v7", "running")


@pytest.mark.parametrize(
    "body",
    [{}, {"repo_id": "qx/v7"}, {"repo_id": "qx/v7", "revision": "main"},
     {"repo_id": "qx/v7", "revision": SHA, "max_rows": 0},
     {"repo_id": "qx/v7", "revision": SHA, "strange": 1}],
)  # fmt: skip
def test_a_wrong_import_is_refused_by_name(api, model, body):
    response = api.post(f"/api/v1/models/{model.id}/hub-imports", body, format="json")
    assert response.status_code == 400
    assert response.json()["error"]["param"]
