import json

import pytest

from distillation.models import DatasetRow
from distillation.tests.drafts import make_draft, make_row
from modelstation.core.models import Job
from modelstation.testing import REQUIREMENT, make_base
from training.builds import services as builds

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(api_for, bob):
    return api_for(bob)


@pytest.fixture
def draft(org, artifacts_dir):
    return make_draft(org)


def at(version, path=""):
    return f"/api/v1/datasets/{version.id}{path}"


def error_of(response, status):
    assert response.status_code == status, response.content
    return response.json()["error"]


def test_a_stranger_gets_404_for_every_deed_and_nothing_happens(api_for, charlie, draft):
    stranger = api_for(charlie, charlie.organizations.get())
    row = draft.rows.first()
    everything = {"filter": {}, "decision": "refused"}
    for method, path, body in (
        ("post", "/rows/decide", everything),
        ("post", "/rows/answer", {"filter": {}, "answer": "top_up"}),
        ("patch", f"/rows/{row.id}", {"answer": "top_up"}),
        ("post", f"/rows/{row.id}/restore", {}),
        ("post", "/freeze", {}),
        ("post", "/draft", {}),
        ("delete", "", {}),
    ):
        response = getattr(stranger, method)(at(draft, path), body, format="json")
        assert error_of(response, 404)["code"] == "not_found", path
    draft.refresh_from_db()
    assert draft.is_draft
    assert draft.rows.kept().count() == 12


def test_a_row_is_found_under_its_own_dataset_only(api_for, charlie, draft):
    org = charlie.organizations.get()
    own = make_draft(org)
    theirs = draft.rows.first()
    response = api_for(charlie, org).patch(
        at(own, f"/rows/{theirs.id}"), {"answer": "top_up"}, format="json"
    )
    assert error_of(response, 404)["code"] == "not_found"


def test_a_dataset_shows_its_state(api, draft):
    facts = api.get(at(draft)).json()
    assert (facts["state"], facts["digest"], facts["parent"]) == ("draft", "", None)
    assert api.get("/api/v1/datasets").json()["results"][0]["state"] == "draft"


@pytest.mark.parametrize(
    ("requested", "result"),
    [
        ("answer=top_up&sort=-score", [11, 8, 5, 2]),
        ("source=clinic&split=valid", [4, 10]),
        ("decision=refused", [3]),
        ("q=message 1&decision=kept", [1, 10, 11]),
        ("edited=true", []),
        ("edited=false&license=MIT&split=test", [5, 11]),
        ("sort=answer&decision=kept&split=train", [1, 7, 0, 6, 9, 2, 8]),
    ],
)
def test_rows_are_filtered_and_sorted(api, draft, requested, result):
    draft.rows.filter(position=3).update(decision="refused")
    rows = api.get(at(draft, f"/rows?{requested}")).json()["results"]
    assert [row["position"] for row in rows] == result


@pytest.mark.parametrize("sort", ["-score", "length", "-length", "source", "answer", "position"])
def test_pages_follow_one_another_in_every_order(api, draft, sort):
    whole = api.get(at(draft, f"/rows?sort={sort}")).json()["results"]
    result, address = [], at(draft, f"/rows?sort={sort}&limit=5")
    while address:
        page = api.get(address).json()
        result, address = result + page["results"], page["next"]
    assert [row["id"] for row in result] == [row["id"] for row in whole]


def test_more_rows_of_one_kind_than_a_page_can_skip_are_all_reached(api, draft):
    DatasetRow.objects.bulk_create(
        make_row(draft, number, source_name="one") for number in range(12, 1300)
    )
    seen, address = set(), at(draft, "/rows?source=one&sort=source&limit=200")
    while address:
        page = api.get(address).json()
        seen |= {row["position"] for row in page["results"]}
        address = page["next"]
    assert seen == set(range(12, 1300))


@pytest.mark.parametrize("param", ["sort", "split", "decision", "edited"])
def test_a_filter_that_cannot_be_read_is_named(api, draft, param):
    assert error_of(api.get(at(draft, f"/rows?{param}=odd")), 400)["param"] == param


def test_rows_are_decided_by_ids_or_by_filter(api, draft):
    ids = [row.id for row in draft.rows.all()[:2]]
    by_ids = api.post(
        at(draft, "/rows/decide"), {"ids": ids, "decision": "refused"}, format="json"
    ).json()
    assert (by_ids["changed"], by_ids["dataset"]["row_count"]) == (2, 10)
    by_filter = {"filter": {"split": "train"}, "decision": "kept"}
    answer = api.post(at(draft, "/rows/decide"), by_filter, format="json").json()
    assert (answer["changed"], answer["dataset"]["split_counts"]["train"]) == (2, 8)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"decision": "refused"}, "ids"),
        ({"decision": "refused", "ids": []}, "ids"),
        ({"decision": "refused", "ids": [1], "filter": {}}, "ids"),
        ({"decision": "refused", "ids": [10**30]}, "ids"),
        ({"decision": "maybe", "filter": {}}, "decision"),
        ({"decision": "refused", "filter": {"spilt": "train"}}, "filter.spilt"),
        ({"decision": "refused", "ids": [987654321]}, "ids"),
    ],
)
def test_an_unclear_choice_of_rows_decides_nothing(api, draft, body, param):
    response = api.post(at(draft, "/rows/decide"), body, format="json")
    assert error_of(response, 400)["param"].startswith(param)
    assert draft.rows.kept().count() == 12


def test_answers_are_changed_in_bulk(api, draft):
    body = {"filter": {"answer": "lost_card"}, "answer": "top_up"}
    assert api.post(at(draft, "/rows/answer"), body, format="json").json()["changed"] == 4
    body = {"filter": {}, "find": "top_up", "replacement": "lost_card"}
    assert api.post(at(draft, "/rows/answer"), body, format="json").json()["changed"] == 8
    body = {"filter": {}, "find": "lost"}
    assert error_of(api.post(at(draft, "/rows/answer"), body, format="json"), 400)


def test_a_row_is_edited_and_restored(api, draft):
    row = draft.rows.first()
    edited = api.patch(at(draft, f"/rows/{row.id}"), {"answer": "top_up"}, format="json").json()
    assert edited["messages"][-1]["content"] == "top_up"
    assert edited["original_messages"][-1]["content"] == "lost_card"
    assert edited["step"] == "edited by hand"
    refused = api.patch(at(draft, f"/rows/{row.id}"), {"answer": "odd"}, format="json")
    assert error_of(refused, 400)["code"] == "answer_does_not_fit"
    restored = api.post(at(draft, f"/rows/{row.id}/restore")).json()
    assert restored["original_messages"] is None
    assert api.get(at(draft, f"/rows/{row.id}")).json() == restored


def test_a_draft_is_exported_as_its_kept_rows_and_frozen_as_files(api, draft):
    draft.rows.filter(split="train").update(decision="refused")
    export = at(draft, "/export?format=jsonl")
    lines = b"".join(api.get(export).streaming_content).splitlines()
    assert [json.loads(line)["source"] for line in lines] == ["clinic", "clinic"] + ["banking"] * 2
    assert error_of(api.get(at(draft, "/export?format=parquet")), 409)["code"] == "dataset_draft"
    draft.rows.update(decision="kept")
    frozen = api.post(at(draft, "/freeze")).json()
    assert (frozen["state"], frozen["row_count"], len(frozen["digest"])) == ("frozen", 12, 64)
    assert len(b"".join(api.get(export).streaming_content).splitlines()) == 12
    assert Job.objects.filter(kind="train").count() == 1


def test_every_deed_on_a_frozen_dataset_is_a_conflict(api, alice, draft):
    builds.freeze_and_train(actor=alice, version=draft)
    row = draft.rows.first()
    for method, path, body in (
        ("post", "/rows/decide", {"filter": {}, "decision": "refused"}),
        ("post", "/rows/answer", {"filter": {}, "answer": "top_up"}),
        ("patch", f"/rows/{row.id}", {"answer": "top_up"}),
        ("post", f"/rows/{row.id}/restore", {}),
        ("post", "/freeze", {}),
        ("delete", "", {}),
    ):
        response = getattr(api, method)(at(draft, path), body, format="json")
        assert error_of(response, 409)["code"] == "dataset_frozen", path


def test_one_draft_at_a_time_is_made_of_a_frozen_dataset(api, alice, draft):
    assert error_of(api.post(at(draft, "/draft")), 409)["code"] == "dataset_draft"
    builds.freeze_and_train(actor=alice, version=draft)
    made = api.post(at(draft, "/draft"))
    assert (made.status_code, made.json()["parent"]) == (201, str(draft.id))
    assert error_of(api.post(at(draft, "/draft")), 409)["code"] == "draft_exists"
    assert api.delete(f"/api/v1/datasets/{made.json()['id']}").status_code == 204


def test_the_model_says_that_a_draft_waits(api, draft):
    model = api.get(f"/api/v1/models/{draft.model_id}").json()
    assert (model["status"], model["curation"]) == ("review", "review")
    assert model["waiting_for_review"]["number"] == 1
    assert api.get(model["waiting_for_review"]["url"]).json()["id"] == str(draft.id)


def test_the_mode_is_chosen_with_the_model_and_changed_later(api):
    make_base()
    requested = {"name": "Router", "requirement": REQUIREMENT, "curation": "review"}
    model = api.post("/api/v1/models", requested, format="json").json()
    assert (model["curation"], model["waiting_for_review"]) == ("review", None)
    address = f"/api/v1/models/{model['id']}"
    assert api.patch(address, {"curation": "auto"}, format="json").json()["curation"] == "auto"
    assert (
        error_of(api.patch(address, {"curation": "x"}, format="json"), 400)["param"] == "curation"
    )
    assert error_of(api.patch(address, {}, format="json"), 400)
    bad = requested | {"curation": "sometimes"}
    assert error_of(api.post("/api/v1/models", bad, format="json"), 400)["param"] == "curation"
