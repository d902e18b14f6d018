"""The run's page in a real browser: it follows by the stream, and by asking where there is none."""

import math

import pytest
from django.urls import reverse

from modelstation import testing
from modelstation.core.jobs.events import SLOTS
from modelstation.core.models import Job, JobEvent
from modelstation.tests.browser.chromium import MARKS, take_screenshot
from training.tests.planted_runs import add_points, end, make_run

pytestmark = MARKS


@pytest.fixture(autouse=True)
def _plenty_of_streams(settings):
    """Those of pages that were just left are given back only at their next heartbeat."""
    settings.EVENT_STREAMS_PER_PROCESS = settings.EVENT_STREAMS_PER_ORGANIZATION = 50


@pytest.fixture
def run(org):
    model = testing.make_model(org, status="training", name="Bank intents of the call centre")
    run = make_run(
        model,
        stage="train",
        progress={
            "step": 600,
            "total_steps": 900,
            "loss": 0.4,
            "tokens_per_second": 811.3,
            "memory_bytes": 1_534_000_000,
            "eta_seconds": 372,
        },
    )
    for kind, said in (
        ("state", "Started."),
        ("stage", "Loading the base model"),
        ("stage", "Training"),
    ):
        JobEvent.emit(run.job_id, kind, said)
    add_points(run, 600, loss=lambda step: 3 * math.exp(-step / 120) + 0.4 + 0.05 * math.sin(step))
    JobEvent.emit(run.job_id, "checkpoint", "Checkpoint kept at step 600.", data={"step": 600})
    return run


def path_of(run):
    return reverse("run", args=[run.org.slug, run.id])


@pytest.mark.parametrize("width", [360, 1280])
def test_a_run_at_work_fits_the_screen(page, run, width):
    page.set_viewport_size({"width": width, "height": 800})
    for state, fields in (
        ("running", {}),
        ("paused", {}),
        ("failed", {"error_code": "oom_killed"}),
    ):
        if state != "running":
            page.goto("about:blank")  # the page would follow the end by itself, and race with us
            end(run.job, state, **fields)
        page.goto(path_of(run))
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        take_screenshot(page, f"run-{state}-{width}")
    assert page.complaints == []


def test_the_page_follows_by_the_stream_and_rests_at_the_end(page, run):
    page.goto(path_of(run))
    Job.objects.filter(id=run.job_id).update(progress={"step": 700, "total_steps": 900})
    JobEvent.emit(run.job_id, "log", "A word from the worker.")
    page.locator("text=A word from the worker.").wait_for(timeout=10_000)
    page.locator("text=Step 700 of 900").wait_for(timeout=10_000)
    assert page.complaints == []

    end(run.job, "failed", error_code="oom_killed", error_text="It was killed.")
    JobEvent.emit(run.job_id, "error", "It was killed.")
    page.locator("text=What to try").wait_for(timeout=10_000)
    assert page.locator("#live").count() == 0


def test_where_no_stream_is_free_the_page_asks_by_itself(page, run, settings):
    settings.EVENT_STREAMS_PER_PROCESS = 0
    page.goto(path_of(run))
    JobEvent.emit(run.job_id, "log", "A word from the worker.")
    page.locator("text=A word from the worker.").wait_for(timeout=10_000)


def test_the_stream_of_a_page_that_was_left_is_given_back(page, run, monkeypatch, settings):
    settings.EVENT_STREAMS_PER_ORGANIZATION = 1
    monkeypatch.setattr("training.runs.views.PAGE_HEARTBEAT_SECONDS", 0.1)
    page.goto(path_of(run))
    page.goto("about:blank")
    for _ in range(100):
        give_back = SLOTS.take(run.org_id)
        if give_back:
            give_back()
            return
        page.wait_for_timeout(100)
    pytest.fail("the stream's slot was not given back within ten seconds")
