"""Own rows that a build loads: they come before all else, and one that fails keeps none of them."""

import pytest

from accounts.models import EndMail
from distillation import runner
from distillation.imports import services as imports
from distillation.model_data import own_rows
from distillation.model_data.own_rows import OwnRows
from distillation.models import CorpusExample, ImportRun, ModelSource, SourceDataset
from distillation.tests.pipeline.rows import WordsEmbedder
from models_app.contract.services import edit_contract
from models_app.drafts import ModelDraft
from modelstation.core.errors import Conflict, UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
from modelstation.testing import make_base
from training.builds.services import create_model, edit_draft
from training.finetuning.builds import ended_build

pytestmark = pytest.mark.django_db
REQUIREMENT = "Sort each repair request into plumbing or electrical. Answer with the label only."
TABLE = "text,label\n" + "\n".join(
    f"my drain in flat {n} is blocked,plumbing\nno light in hall {n},electrical" for n in range(40)
)


class CountingWords(WordsEmbedder):
    def embed(self, texts, on_batch=None):
        return super().embed(texts)

    def count_tokens(self, texts):
        return [len(text.split()) for text in texts]


@pytest.fixture(autouse=True)
def _embedder(monkeypatch):
    monkeypatch.setattr("modelstation.lm.embedding.load_embedder", CountingWords)


def kept(org, alice, text=TABLE, name="Repairs"):
    run = own_rows.keep_form(actor=alice, org=org, file=None, pasted=text, name=name)
    return OwnRows(run, imports.draft_of(run))


def built(org, alice, *rows, work=runner.distil, **fields):
    make_base()
    draft = ModelDraft(
        name="Repairs", requirement=REQUIREMENT, base="smollm2-135m-instruct", rows=60, **fields
    )
    model = create_model(actor=alice, org=org, draft=draft, rows=rows)
    job = Job.objects.get(subject_id=model.id)
    jobs.run_job(str(job.id), work)
    job.refresh_from_db()
    model.refresh_from_db()
    return model, job


def test_a_build_loads_the_rows_that_came_with_it_and_uses_their_source(org, alice):
    model, job = built(org, alice, kept(org, alice))
    source = SourceDataset.objects.get(org=org)
    assert (source.name, source.kind, source.row_count) == ("repairs-rows", "upload", 80)
    assert ModelSource.objects.get().source == source
    assert ImportRun.objects.get().state == "done"
    assert job.state == "succeeded", job.error_text
    assert model.dataset_versions.get().source_counts["repairs-rows"] >= 50


def test_a_build_without_rows_asks_for_data_and_leaves_the_contract_open(org, alice):
    model, job = built(org, alice)
    assert (model.status, job.error_code) == ("needs_data", "not_enough_data")
    assert model.contract_frozen_at is None
    edit_contract(actor=alice, model=model, changes={"success_criteria": ["accuracy >= 0.8"]})
    assert EndMail.objects.filter(job=job).exists()


def test_outside_a_build_that_needs_data_is_one_that_failed(org, alice):
    _, job = built(org, alice)
    assert ended_build(job)[1] == "failed"


def test_a_build_that_is_cancelled_while_it_loads_keeps_no_rows(org, alice):
    def cancelled(job, lease):
        jobs.request_cancel(job)
        return runner.distil(job, lease)

    model, job = built(org, alice, kept(org, alice), work=cancelled)
    assert (model.status, job.state) == ("cancelled", "cancelled")
    assert not CorpusExample.objects.exists()
    assert not SourceDataset.objects.exists()
    assert ImportRun.objects.get().state == "cancelled"
    assert model.contract_frozen_at is None


def test_rows_whose_columns_are_not_clear_stop_the_model_from_being_made(org, alice):
    unclear = kept(org, alice, "a,b\n1,2\n3,4\n")
    with pytest.raises(UserFacingError, match="which columns"):
        built(org, alice, unclear)


def test_the_same_file_again_is_the_same_source(org, alice):
    built(org, alice, kept(org, alice))
    draft = imports.draft_of(kept(org, alice).run)
    assert (draft.source, draft.append) == ("repairs-rows", True)


def test_another_file_of_the_same_name_is_another_source(org, alice):
    built(org, alice, kept(org, alice))
    other = kept(org, alice, TABLE.replace("drain", "sink"))
    assert imports.draft_of(other.run).source == "repairs-rows-2"


def test_the_requirement_changes_until_there_is_a_version(org, alice):
    model, _ = built(org, alice)
    changes = {"requirement": "Sort each request into pests or other. Answer with one word."}
    model = edit_draft(actor=alice, model=model, changes=changes)
    assert "pests" in model.requirement
    model.versions.create(org=org, number=1, base=model.base, folder="x")
    with pytest.raises(Conflict, match="cannot change"):
        edit_draft(actor=alice, model=model, changes=changes)
