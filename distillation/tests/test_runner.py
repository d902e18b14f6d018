import json

import pytest
from django.conf import settings

from distillation import runner
from distillation.datasets.coverage import doubtful_held_out
from distillation.model_data.services import use_source
from distillation.models import DatasetRow, DatasetVersion, DistillationRun, SourceDataset
from distillation.pipeline.text import hash_messages
from distillation.tests.corpus.test_catalog import EMBED
from distillation.tests.pipeline.rows import WordsEmbedder
from distillation.tests.pipeline.test_generator import BANK, bank_rows
from modelstation.core.artifacts import verify
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
from modelstation.testing import make_model, make_org


@pytest.fixture
def _corpus(db, monkeypatch):
    from distillation.models import CorpusExample, SourceDataset

    monkeypatch.setattr("modelstation.lm.embedding.load_embedder", WordsEmbedder)
    source = SourceDataset.objects.create(name="bank", license="MIT", state="ready")
    CorpusExample.objects.bulk_create(
        CorpusExample(
            source=source,
            content_hash=row.content_hash,
            license="MIT",
            messages=list(row.messages),
            tokens=9,
            embedding=EMBED([row.messages[1]["content"]])[0],
        )
        for row in bank_rows(120)
    )


def distilled(**fields):
    wanted = {
        "requirement": BANK.text,
        "objective": BANK.objective,
        "policy": BANK.policy,
        "examples": [{"input": e.input, "output": e.output} for e in BANK.examples],
        "rows": 100,
    }
    model = make_model(make_org(), **(wanted | fields))
    job = jobs.submit(kind="distil", org=model.org, subject_id=model.id)
    jobs.run_job(str(job.id), runner.distil)
    job.refresh_from_db()
    model.refresh_from_db()
    return model, job


@pytest.mark.usefixtures("_corpus")
def test_a_job_makes_a_frozen_version_with_its_rows_and_enqueues_training():
    model, job = distilled()
    version = DatasetVersion.objects.get(model=model)
    rows = list(DatasetRow.objects.filter(version=version))
    assert (job.state, version.number, version.row_count, len(rows)) == ("succeeded", 1, 100, 100)
    assert version.source_counts == {"bank": 100}
    assert version.split_counts == {"train": 65, "valid": 10, "test": 25}
    assert all(row.content_hash == hash_messages(row.messages) for row in rows)
    assert all(row.reason and row.license == "MIT" and row.example_id for row in rows)
    assert Job.objects.filter(kind="train", subject_id=model.id, state="queued").count() == 1


@pytest.mark.usefixtures("_corpus")
def test_the_files_hold_what_the_rows_hold():
    model, _ = distilled()
    version = DatasetVersion.objects.get(model=model)
    folder = settings.ARTIFACTS_DIR / version.folder
    assert verify(folder)["facts"]["digest"] == version.digest
    lines = [json.loads(line) for line in (folder / "train.jsonl").open()]
    rows = DatasetRow.objects.filter(version=version, split="train")
    assert {line["content_hash"] for line in lines} == {row.content_hash for row in rows}


@pytest.mark.usefixtures("_corpus")
def test_what_was_understood_and_refused_is_kept_on_the_run():
    model, _ = distilled()
    run = DistillationRun.objects.get(model=model)
    assert run.intent["task_kind"] == "classify"
    assert run.intent["sources"][0]["chosen"] is True
    assert {"filter", "refused", "kept", "examples"} == set(run.funnel[0])
    assert model.system_prompt == run.intent["system_prompt"] != ""


@pytest.mark.usefixtures("_corpus")
def test_a_prompt_that_the_user_wrote_is_used_and_kept():
    model, _ = distilled(system_prompt="Mine.")
    version = DatasetVersion.objects.get(model=model)
    assert (model.system_prompt, version.system_prompt) == ("Mine.", "Mine.")


@pytest.mark.usefixtures("_corpus")
def test_the_users_test_rows_are_kept_out_and_written_as_the_test_split():
    held_out = {"input": "Lost card in ROME on day 0!", "output": "lost_card"}
    model, _ = distilled(test_rows=[held_out])
    version = DatasetVersion.objects.get(model=model)
    assert version.split_counts["test"] == 1
    inputs = {row.input for row in DatasetRow.objects.filter(version=version)}
    assert "lost card in rome on day 0" not in inputs


@pytest.mark.usefixtures("_corpus")
def test_held_out_rows_of_doubtful_labels_are_counted_and_stay():
    test_rows = [
        {"input": "I lost card in bali on day 900", "output": "lost_card"},
        {"input": "exchange rate in bonn on day 901", "output": "lost_card"},
    ]
    model, _ = distilled(test_rows=test_rows, doubtful_rows="keep")
    version = DatasetVersion.objects.get(model=model)
    assert version.run.config["doubtful_rows"] == "keep"
    assert version.run.intent_facts.doubtful_test_rows == (1,)
    assert doubtful_held_out(version) == 1
    assert version.split_counts["test"] == 2


@pytest.mark.usefixtures("_corpus")
def test_a_requirement_without_data_fails_the_model_with_the_sentence():
    model, job = distilled(
        requirement="Translate Old Norse runes to Klingon.", objective="", policy="", examples=[]
    )
    assert (job.state, job.error_code) == ("failed", "not_enough_data")
    assert model.status == "needs_data"
    assert "Not enough data: 0 rows above the threshold, at least 50 needed" in model.status_reason
    assert not DatasetVersion.objects.exists()
    assert not Job.objects.filter(kind="train").exists()


@pytest.mark.usefixtures("_corpus")
def test_a_run_without_enough_data_keeps_what_was_understood_found_and_missing():
    labels = {"labels": ["lost_card", "refund", "loan"]}
    model, job = distilled(examples=[], intent_edits=labels)
    assert job.error_code == "not_enough_data"
    run = DistillationRun.objects.get(model=model)
    facts = run.intent_facts
    assert (facts.task_kind, facts.labels) == ("classify", ("lost_card", "refund", "loan"))
    assert (facts.gap.by, facts.gap.missing) == ("label", ("lost_card", "refund", "loan"))
    [related] = facts.gap.related
    assert (related.source, related.reason) == ("bank", "it has 33% of your labels")
    assert related.samples
    assert facts.related[0].source_id == related.source_id


def test_sources_that_people_chose_and_no_search_are_what_the_next_build_uses(db):
    model = make_model(make_org(), search_corpus=False)
    source = SourceDataset.objects.create(org=model.org, name="own", license="MIT", state="ready")
    use_source(actor=None, model=model, source=source)
    config = runner.selection_config(model)
    assert (config.use_sources, config.search_corpus) == ((str(source.id),), False)


def test_another_organisations_source_is_never_used(db, monkeypatch):
    from distillation.models import SourceDataset

    monkeypatch.setattr("modelstation.lm.embedding.load_embedder", WordsEmbedder)
    rival = make_org("Rival")
    SourceDataset.objects.create(org=rival, name="bank", license="MIT", state="ready")
    model, job = distilled()
    assert job.error_code == "not_enough_data"
    assert model.status == "needs_data"
