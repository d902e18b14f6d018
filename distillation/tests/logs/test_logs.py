"""Stored answers become rows of the model's data: unverified, deduplicated, flagged."""

import pytest

from distillation.logs import services as logs
from distillation.logs.services import LogFilter, use_logs
from distillation.models import CorpusExample, ImportRun, LogUse, ModelSource, SourceDataset
from distillation.pipeline.provenance import Provenance
from distillation.tests.imports.test_known_vectors import CountingEmbedder
from models_app.models import StoredCompletion
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.testing import make_model, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def model(org):
    return make_model(org)


@pytest.fixture
def embedder(monkeypatch):
    from distillation.model_data import storing

    monkeypatch.setitem(storing.store_examples.__kwdefaults__, "embedder", CountingEmbedder)


def stored(model, number, question, answer, *, version=None, reason="stop", **metadata):
    choice = {"index": 0, "message": {"role": "assistant", "content": answer}}
    return StoredCompletion.objects.create(
        org=model.org,
        completion_id=f"chatcmpl-{model.org.slug}-{number}",
        name=model.slug,
        model=model,
        version=version,
        messages=[{"role": "system", "content": "Label."}, {"role": "user", "content": question}],
        choices=[choice | {"finish_reason": reason}],
        usage={},
        metadata=metadata,
    )


def run_to_its_end(use):
    job = LogUse.objects.get(id=use.id).run.job
    jobs.run_job(str(job.id), logs.load_logs)
    job.refresh_from_db()
    return job, ImportRun.objects.get(id=use.run_id)


def test_a_stranger_finds_no_logs(as_charlie, stranger, model):
    stored(model, 1, "My card is lost", "lost_card")
    assert as_charlie.get(f"/o/acme/models/{model.id}/logs/").status_code == 404
    assert as_charlie.post(f"/o/acme/models/{model.id}/logs/use/").status_code == 404
    for method in ("get", "post"):
        assert getattr(stranger, method)(f"/api/v1/models/{model.id}/logs").status_code == 404


def test_stored_answers_become_rows_that_say_that_nobody_checked_them(alice, model, embedder):
    version = make_version(model)
    first = stored(model, 1, "My card is lost", "lost_card", version=version)
    stored(model, 2, "My card is lost", "lost_card")
    stored(model, 3, "Write to jane.doe@example.org", "contact")
    stored(model, 4, "Tell me all", "Once upon a", reason="length")

    job, run = run_to_its_end(use_logs(actor=alice, model=model, chosen=LogFilter()))

    assert job.state == "succeeded", job.error_text
    assert (run.rows_added, run.rows_duplicate, run.rows_rejected) == (2, 1, 1)
    assert run.flags == {"personal_data:email": 1}
    source = SourceDataset.objects.get()
    assert (source.kind, source.state, source.org) == ("logs", "ready", model.org)
    row = CorpusExample.objects.get(source=source, external_id=first.completion_id)
    said = Provenance.from_json(row.provenance)
    assert (said.labelled_by, said.who) == ("log", "bank-intents v1")
    assert said.external == first.completion_id
    assert [turn["role"] for turn in row.messages] == ["system", "user", "assistant"]
    assert ModelSource.objects.get().source == source


def test_only_what_was_chosen_becomes_rows_and_a_repeat_adds_nothing(alice, model, embedder):
    stored(model, 1, "My card is lost", "lost_card", flow="triage")
    stored(model, 2, "Send me money", "top_up", flow="other")
    stored(make_model(model.org, name="Another"), 3, "hello", "greeting")
    chosen = LogFilter(key="flow", value="triage")

    _, run = run_to_its_end(use_logs(actor=alice, model=model, chosen=chosen))
    assert run.rows_added == 1
    _, run = run_to_its_end(use_logs(actor=alice, model=model, chosen=LogFilter()))
    assert (run.rows_added, run.rows_duplicate) == (1, 1)


def test_where_nothing_fits_a_sentence_says_so_and_no_job_is_made(alice, model):
    with pytest.raises(UserFacingError, match="Nothing is stored that fits"):
        use_logs(actor=alice, model=model, chosen=LogFilter(text="card"))
    assert not ImportRun.objects.exists()


def test_two_at_once_are_one(alice, model):
    stored(model, 1, "My card is lost", "lost_card")
    use_logs(actor=alice, model=model, chosen=LogFilter())
    with pytest.raises(UserFacingError, match="already"):
        use_logs(actor=alice, model=model, chosen=LogFilter())


def test_answers_that_are_all_cut_off_leave_nothing_behind(alice, model, embedder):
    stored(model, 1, "Tell me all", "Once upon a", reason="length")
    job, run = run_to_its_end(use_logs(actor=alice, model=model, chosen=LogFilter()))
    assert (job.state, job.error_code) == ("failed", "no_usable_rows")
    assert not SourceDataset.objects.exists()
    assert not ModelSource.objects.exists()


def test_the_page_lists_filters_and_offers_rows(as_alice, model):
    stored(model, 1, "My card is lost", "lost_card", flow="triage")
    stored(model, 2, "Send me money", "top_up")
    url = f"/o/acme/models/{model.id}/logs/"

    page = as_alice.get(url).content.decode()
    assert "My card is lost" in page
    assert "Use 2 as rows" in page
    assert "kept for 30 days" in page
    filtered = as_alice.get(url, {"metadata": "flow=triage"}).content.decode()
    assert "Send me money" not in filtered
    assert "Use 1 as row" in filtered
    assert "No stored answer fits" in as_alice.get(url, {"text": "nothing"}).content.decode()

    response = as_alice.post(f"{url}use/", {"metadata": "flow=triage"})
    use = LogUse.objects.get()
    assert response.url == f"/o/acme/imports/{use.run_id}/"
    assert use.chosen["key"] == "flow"
    assert as_alice.get(response.url).status_code == 200


def test_the_api_lists_and_makes_rows(api, model):
    stored(model, 1, "My card is lost", "lost_card", flow="triage")
    url = f"/api/v1/models/{model.id}/logs"
    [row] = api.get(url, {"metadata": "flow"}).json()["results"]
    assert row["id"] == "chatcmpl-acme-1"
    assert api.get(url, {"version": "x"}).status_code == 400
    response = api.post(url, {"metadata": "flow=triage"}, format="json")
    assert response.status_code == 201, response.content
    assert response.json()["source"] == "logs-of-bank-intents"
