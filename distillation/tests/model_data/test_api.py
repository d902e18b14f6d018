"""Where the rows of a model come from, for programs."""

import pytest

from accounts.services import create_organization
from distillation.models import ImportRun, ModelSource, SourceDataset
from modelstation.testing import make_model

pytestmark = pytest.mark.django_db
REQUIREMENT = "Sort each repair request into plumbing, electrical or heating."


@pytest.fixture
def model(org):
    return make_model(org, requirement=REQUIREMENT, status="needs_data")


def test_a_program_reads_what_is_missing_and_chooses_sources(api_for, alice, model):
    api, url = api_for(alice), f"/api/v1/models/{model.id}/data"
    source = SourceDataset.objects.create(name="public", license="MIT", state="ready")
    shown = api.get(url).json()
    assert [need["missing"] for need in shown["needs"]] == [17, 17, 17]
    changes = {"use": [str(source.id)], "search_corpus": False}
    shown = api.patch(url, changes, format="json").json()
    assert (shown["search_corpus"], shown["sources"][0]["source"]["name"]) == (False, "public")
    api.patch(url, {"stop": [str(source.id)]}, format="json")
    assert not ModelSource.objects.exists()


def test_what_is_done_with_doubtful_rows_is_set_and_refused_where_unknown(api_for, alice, model):
    url = f"/api/v1/models/{model.id}/data"
    api = api_for(alice)
    assert api.get(url).json()["doubtful_rows"] == "leave_out"
    shown = api.patch(url, {"doubtful_rows": "repair"}, format="json").json()
    assert shown["doubtful_rows"] == "repair"
    assert api.patch(url, {"doubtful_rows": "ask"}, format="json").status_code == 400
    model.refresh_from_db()
    assert model.doubtful_rows == "repair"


def test_a_source_of_another_organisation_is_never_used(api_for, alice, charlie, model):
    rival = create_organization(actor=charlie, name="Rival")
    source = SourceDataset.objects.create(org=rival, name="theirs", license="MIT", state="ready")
    url = f"/api/v1/models/{model.id}/data"
    answer = api_for(alice).patch(url, {"use": [str(source.id)]}, format="json")
    assert answer.status_code == 404
    assert not ModelSource.objects.exists()


def test_an_upload_names_the_model_that_uses_it(api_for, alice, charlie, model, tmp_path):
    path = tmp_path / "tickets.csv"
    path.write_text("text,label\na leak,plumbing\n")
    theirs = make_model(create_organization(actor=charlie, name="Rival"))
    for named, status in ((theirs, 404), (model, 201)):
        with path.open("rb") as file:
            body = {"file": file, "model": str(named.id)}
            answer = api_for(alice).post("/api/v1/imports", body, format="multipart")
        assert answer.status_code == status, answer.content
    assert ImportRun.objects.get().model == model


def test_the_requirement_is_edited_until_there_is_a_version(api_for, alice, model):
    api, url = api_for(alice), f"/api/v1/models/{model.id}"
    wanted = {"requirement": "Sort each request into pests or other.", "name": "Pests"}
    assert api.patch(url, wanted, format="json").json()["name"] == "Pests"
    model.versions.create(org=model.org, number=1, base=model.base, folder="x")
    refused = api.patch(url, wanted, format="json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "has_version")
