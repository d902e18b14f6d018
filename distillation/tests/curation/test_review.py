"""The review journey: a model that waits for a person between its selection and its training."""

import json

import pytest
from django.conf import settings

from distillation.curation import services as curation
from distillation.curation.row_filter import RowFilter
from distillation.models import DatasetVersion
from distillation.pipeline.export import dataset_digest
from distillation.tests.test_runner import _corpus, distilled  # noqa: F401
from models_app import services
from models_app.models import CustomModel
from modelstation.core.artifacts import verify
from modelstation.core.errors import UserFacingError
from modelstation.core.models import Job
from training.builds import services as builds
from training.runs.runner import _newest_dataset

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("_corpus", "artifacts_dir")]


def queued(model):
    return [job.kind for job in Job.objects.filter(subject_id=model.id, state="queued")]


def test_in_review_a_selection_ends_as_a_draft_and_nothing_is_trained():
    model, job = distilled(curation="review")
    draft = DatasetVersion.objects.get(model=model)
    assert (job.state, model.status) == ("succeeded", "review")
    assert (draft.state, draft.digest, draft.folder, draft.frozen_at) == ("draft", "", "", None)
    assert draft.row_count == draft.rows.kept().count() == 100
    assert not settings.ARTIFACTS_DIR.exists()
    assert queued(model) == []
    assert model.system_prompt == draft.system_prompt
    with pytest.raises(UserFacingError):
        _newest_dataset(model)


def test_a_dataset_is_the_same_whether_a_person_froze_it_or_nobody_was_asked(alice):
    reviewed, _ = distilled(curation="review")
    version = reviewed.dataset_versions.get()
    builds.freeze_and_train(actor=alice, version=version)
    version.refresh_from_db()
    by_hand = contents(version)
    CustomModel.objects.filter(id=reviewed.id).update(curation="auto", status="ready")
    builds.rebuild(actor=alice, model=reviewed)
    run_distillation(reviewed)
    automatic = reviewed.dataset_versions.get(number=2)
    assert automatic.digest == version.digest
    assert contents(automatic) == by_hand
    facts = [verify(settings.ARTIFACTS_DIR / v.folder)["facts"] for v in (version, automatic)]
    assert facts[0] == facts[1]


def run_distillation(model):
    from distillation import runner
    from modelstation.core.jobs import jobs

    jobs.run_job(str(Job.objects.get(subject_id=model.id, kind="distil", state="queued").id),
                 runner.distil)  # fmt: skip


def contents(version):
    folder = settings.ARTIFACTS_DIR / version.folder
    names = ("train.jsonl", "valid.jsonl", "test.jsonl", "dataset.parquet")
    return [(folder / name).read_bytes() for name in names]


def test_from_the_draft_over_refusals_and_edits_to_files_that_match(alice):
    held_out = {"input": "Lost card in ROME on day 0!", "output": "lost_card"}
    model, _ = distilled(curation="review", test_rows=[held_out])
    draft = model.dataset_versions.get()
    one, two, three = draft.rows.filter(split="train")[:3]
    curation.decide_rows(actor=alice, version=draft, chosen=[one.id, two.id], decision="refused")
    curation.edit_row(actor=alice, row=three, input="where did my card go", answer="lost_card")
    builds.freeze_and_train(actor=alice, version=draft)
    draft.refresh_from_db()
    model.refresh_from_db()
    kept = list(draft.rows.kept())
    records = lines_of(draft)
    assert (model.status, queued(model)) == ("training", ["train"])
    assert _newest_dataset(model) == draft
    assert len(records) == len(kept) + 1 == draft.row_count + 1 == 99
    hashes = {record["content_hash"] for record in records}
    assert {row.content_hash for row in kept} < hashes
    assert {one.content_hash, two.content_hash, three.content_hash}.isdisjoint(hashes)
    assert "where did my card go" in {record["messages"][1]["content"] for record in records}
    assert verify(settings.ARTIFACTS_DIR / draft.folder)["facts"]["digest"] == draft.digest
    assert draft.digest != dataset_digest(kept)  # the held-out row is part of it


def lines_of(version):
    folder = settings.ARTIFACTS_DIR / version.folder
    return [
        json.loads(line)
        for split in ("train", "valid", "test")
        for line in (folder / f"{split}.jsonl").open()
    ]


def test_an_older_draft_that_is_frozen_later_is_the_one_to_train_on(alice):
    model, _ = distilled(curation="review")
    first = model.dataset_versions.get()
    builds.rebuild(actor=alice, model=model)
    run_distillation(model)
    second = model.dataset_versions.get(number=2)
    assert second.is_draft
    builds.freeze_and_train(actor=alice, version=second)
    CustomModel.objects.filter(id=model.id).update(status="ready")
    curation.decide_rows(
        actor=alice, version=first, chosen=RowFilter(q="day 1"), decision="refused"
    )
    builds.freeze_and_train(actor=alice, version=first)
    assert _newest_dataset(model) == first


def test_who_changes_the_mode_changes_the_next_selection(alice):
    model, _ = distilled(curation="review")
    services.set_curation(actor=alice, model=model, curation="auto")
    assert model.dataset_versions.get().is_draft
    builds.rebuild(actor=alice, model=model)
    run_distillation(model)
    assert model.dataset_versions.get(number=2).state == "frozen"
    assert "train" in queued(model)


def test_an_unknown_mode_is_refused(alice):
    model, _ = distilled()
    with pytest.raises(UserFacingError, match="Unknown curation"):
        services.set_curation(actor=alice, model=model, curation="sometimes")
