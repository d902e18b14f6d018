"""What must not be undone or left behind when builds and models end out of turn."""

import pytest
from django.utils import timezone

from distillation import tasks
from distillation.curation.services import discard_draft
from distillation.hub import services as hub
from distillation.logs import services as logs
from distillation.models import HubSearch, ImportRun
from distillation.teachers import services as teachers
from distillation.tests.drafts import make_draft
from distillation.tests.teachers import fake_teacher as fakes
from models_app.contract.services import reopen_contract
from models_app.models import StoredCompletion
from modelstation.core.models import Job
from modelstation.testing import make_model
from training.builds.services import delete_model

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_contract_stays_frozen_where_a_draft_was_seen_and_discarded(org, alice):
    version = make_draft(org)
    model = version.model
    model.contract_frozen_at = timezone.now()
    model.save()
    discard_draft(actor=alice, version=version)
    reopen_contract(model)
    model.refresh_from_db()
    assert model.contract_frozen_at


def test_a_teacher_is_not_asked_for_a_model_that_is_deleted(org, alice, settings):
    settings.WEBHOOK_ALLOW_PRIVATE = True
    model = make_model(org, requirement="Sort into one of: plumbing, electrical.", created_by=alice)
    with fakes.fake_teacher() as fake:
        teacher = teachers.create_teacher(
            actor=alice, org=org, name="Fake", base_url=fake.url, model_name="fake-large"
        )
        draft = teachers.RunDraft(rows=10)
        run = teachers.start_run(actor=alice, model=model, teacher=teacher, draft=draft)
        delete_model(actor=alice, model=model)
        tasks.run_teaching(str(run.job_id))
        assert not fake.requests
    assert not Job.objects.filter(state__in=Job.LIVE_STATES).exists()
    for job in Job.objects.all():
        assert job.state in ("failed", "cancelled")
        assert job.error_text == "The model of this run was deleted."


def test_logs_of_a_model_that_is_deleted_end_in_a_sentence(org, alice):
    model = make_model(org, created_by=alice)
    StoredCompletion.objects.create(
        org=org, completion_id="chatcmpl-1", name="m", model=model,
        messages=[{"role": "user", "content": "hello"}], usage={},
        choices=[{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    )  # fmt: skip
    use = logs.use_logs(actor=alice, model=model, chosen=logs.LogFilter())
    delete_model(actor=alice, model=model)
    tasks.run_log_rows(str(use.run.job_id))
    run = ImportRun.objects.get(id=use.run_id)
    assert run.state in ("failed", "cancelled")
    assert "deleted" in run.error_text


def test_a_search_of_the_hub_for_a_model_that_is_deleted_ends_in_a_sentence(org, alice, settings):
    settings.HUB_SEARCH, org.allow_hub_search = True, True
    org.save()
    model = make_model(org, created_by=alice)
    search = hub.submit_search(actor=alice, model=model)
    delete_model(actor=alice, model=model)
    tasks.run_hub_search(str(search.job_id))
    assert not HubSearch.objects.exists()
    assert "deleted" in Job.objects.get(id=search.job_id).error_text


def test_labelled_rows_that_were_being_stored_go_with_their_model(org, alice):
    model = make_model(org, created_by=alice)
    job = Job.objects.create(
        org=org,
        kind="label",
        queue="distil",
        subject_id=model.id,
        state="running",
        lease_token=model.id,
    )
    run = ImportRun.objects.create(org=org, job=job, origin="inputs", options={"source": "x"})
    delete_model(actor=alice, model=model)
    run.refresh_from_db()
    assert run.state == "cancelled"
