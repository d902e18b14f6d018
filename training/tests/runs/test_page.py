import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from modelstation import testing
from modelstation.core.models import JobEvent
from training.tests.planted_runs import add_points, end, make_job, make_run

ERROR = "The loss became NaN at step 12. Use a lower learning rate."


@pytest.fixture
def model(org):
    return testing.make_model(org, status="training")


@pytest.fixture
def run(model):
    run = make_run(model, progress={"step": 2, "total_steps": 8, "eta_seconds": 90})
    JobEvent.emit(run.job_id, "stage", "Training")
    return run


def url(name, org, **kwargs):
    return reverse(name, kwargs={"org": org.slug, **kwargs})


def text_of(response):
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


# --- a training run -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run", "run_live"])
def test_a_stranger_sees_no_run(as_charlie, charlie, org, run, name):
    assert as_charlie.get(url(name, org, run_id=run.id)).status_code == 404
    own = charlie.organizations.get()
    assert as_charlie.get(url(name, own, run_id=run.id)).status_code == 404


def test_a_live_run_is_reported_by_a_stream_from_where_the_page_is_on(as_bob, org, run):
    page = text_of(as_bob.get(url("run", org, run_id=run.id)))
    assert f'sse-connect="{url("run_stream", org, run_id=run.id)}?after=1"' in page
    assert f'hx-get="{url("run_live", org, run_id=run.id)}"' in page
    assert "Step 2 of 8, about 1 min 30 s left" in page
    assert "Cancel run" in page
    assert "Pause" in page


def test_the_fragment_is_the_part_of_the_page(as_bob, org, run):
    add_points(run, 4)
    fragment = text_of(as_bob.get(url("run_live", org, run_id=run.id)))
    assert fragment.startswith('<div class="stack" id="run"')
    assert "<html" not in fragment
    assert "Training: 4 at step 1, 1 at 4." in fragment
    assert "Validation: 2.5 at step 2, 1.25 at 4." in fragment


def test_a_page_whose_run_has_ended_is_requested_for_afresh_and_then_rests(as_bob, org, run):
    end(run.job, "failed", error_code="diverged", error_text=ERROR)
    live = as_bob.get(url("run_live", org, run_id=run.id))
    assert live.headers["HX-Refresh"] == "true"

    page = text_of(as_bob.get(url("run", org, run_id=run.id)))
    assert "sse-connect" not in page
    assert "Cancel run" not in page
    assert ERROR in page
    assert "a quarter as high" in page


def test_settings_show_what_was_requested_beside_what_was_used(as_bob, org, run):
    run.resolved_config = {"seed": 7, "learning_rate": 0.0013}
    run.facts = {"train_tokens": 118204, "losses": [1, 2]}
    run.save()
    response = as_bob.get(url("run", org, run_id=run.id))
    settings = {name: (requested, used) for name, requested, used, _ in response.context["config"]}
    assert settings["seed"] == (7, 7)
    assert settings["learning_rate"] == (None, 0.0013)
    assert ("Tokens read", "118,204") in response.context["facts"]
    assert "automatic" in text_of(response)


def test_a_run_that_waits_says_that_no_worker_is_running(as_bob, org, run):
    end(run.job, "queued")
    page = text_of(as_bob.get(url("run", org, run_id=run.id)))
    assert "No worker is running for the “gpu” queue" in page
    assert "“distil”" not in page


def test_queries_do_not_grow_with_the_curve(as_bob, org, run, django_assert_num_queries):
    page = url("run", org, run_id=run.id)
    add_points(run, 1)
    with CaptureQueriesContext(connection) as few:
        as_bob.get(page)
    add_points(run, 600)
    for number in range(20):
        JobEvent.emit(run.job.id, "log", f"line {number}")
    with django_assert_num_queries(len(few)):
        as_bob.get(page)


def test_a_member_cancels_a_run(as_bob, org, run):
    response = as_bob.post(url("run_cancel", org, run_id=run.id), follow=True)
    run.job.refresh_from_db()
    assert run.job.cancel_requested_at is not None
    assert "Stopping…" in text_of(response)


def test_cancelling_an_ended_run_touches_no_other_job(as_bob, org, model, run):
    end(run.job, "succeeded")
    other = make_job(model, "evaluate")
    response = as_bob.post(url("run_cancel", org, run_id=run.id), follow=True)
    other.refresh_from_db()
    assert other.cancel_requested_at is None
    assert "this one is succeeded" in text_of(response)


def test_a_run_is_not_cancelled_by_a_link_or_by_a_stranger(as_bob, as_charlie, org, run):
    address = url("run_cancel", org, run_id=run.id)
    assert as_bob.get(address).status_code == 405
    assert as_charlie.post(address).status_code == 404
    run.job.refresh_from_db()
    assert run.job.cancel_requested_at is None
