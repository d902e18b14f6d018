"""`manage.py watch`: what a terminal, a pipe and a program get of a run, and how it exits."""

import io
import json
import threading

import pytest
from django.core.management import CommandError, call_command
from rich.console import Console

from modelstation import testing
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.jobs.events import Story
from modelstation.core.models import Job, JobEvent
from modelstation.site import journey
from modelstation.site.terminal import AXIS_WIDTH, Lines, Screen, _plot, displayed
from training.runs.curves import Point
from training.tests.planted_runs import add_points, end, make_run

pytestmark = pytest.mark.django_db
DIVERGED = "Training diverged at step 12: the loss is no longer a number."


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(journey, "POLL_SECONDS", 0.01)


@pytest.fixture
def run(org):
    run = make_run(
        testing.make_model(org, status="training"),
        stage="train",
        progress={"step": 40, "total_steps": 80, "loss": 0.5, "eta_seconds": 75},
    )
    JobEvent.emit(run.job_id, "stage", "Training")
    add_points(run, 40)
    return run


def watch(capsys, what, **options):
    """(exit code, what was said)"""
    with pytest.raises(SystemExit) as ended:
        call_command("watch", str(what), **options)
    return ended.value.code, capsys.readouterr().out


def fail(run):
    end(run.job, "failed", error_code="diverged", error_text=DIVERGED)
    Job.objects.filter(id=run.job_id).update(stage="train")
    JobEvent.emit(run.job_id, "error", DIVERGED)


def test_a_run_that_failed_says_why_and_what_to_try(run, capsys):
    fail(run)
    code, said = watch(capsys, run.id)
    assert code == 1
    assert "Training\n" in said
    assert f"train: failed (diverged). {DIVERGED} What to try: Use a learning_rate" in said


@pytest.mark.parametrize(("state", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 2)])
def test_the_exit_code_says_how_it_ended(run, capsys, state, code):
    end(run.job, state)
    assert watch(capsys, run.job_id)[0] == code


@pytest.mark.parametrize(("status", "code"), [("ready", 0), ("failed", 1), ("cancelled", 2)])
def test_a_model_ends_by_its_verdict(run, capsys, status, code):
    end(run.job, "succeeded")
    type(run.model).objects.filter(id=run.model_id).update(status=status)
    assert watch(capsys, run.model_id)[0] == code
    assert watch(capsys, "acme/bank-intents")[0] == code


def test_once_shows_how_a_run_at_work_stands(run, capsys):
    code, said = watch(capsys, run.id, once=True)
    assert code == 0
    assert "train is running: train 40/80, loss 0.500, about 1 min 15 s left" in said


def test_json_is_one_object_per_event_in_order(run, capsys):
    fail(run)
    code, said = watch(capsys, run.id, json=True)
    events = [json.loads(line) for line in said.splitlines()]
    assert code == 1
    assert [event["seq"] for event in events] == list(range(1, 43))
    assert events[1]["data"]["loss"] == 4.0
    assert events[-1]["kind"] == "error"


@pytest.mark.parametrize("name", ["0", "0191c2d4-0000-7000-8000-000000000000", "acme/nothing"])
def test_a_name_of_nothing_is_said_to_be_so(org, name):
    with pytest.raises(CommandError, match=f"There is no run, job or model “{name}”"):
        call_command("watch", name)


def test_a_model_that_is_built_again_is_followed_from_there(run, capsys):
    end(run.job, "failed")
    JobEvent.emit(run.job_id, "log", "of the first build")
    again = jobs.submit(kind="distil", org=run.org, subject_id=run.model_id)
    end(again, "cancelled")
    _, said = watch(capsys, run.model_id)
    assert "of the first build" not in said
    assert "Waiting for a worker." in said


def screen_of(run, width=100):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, color_system=None)
    screen = Screen(console)
    screen.show(journey.beat_of(Story(job_id=run.job_id), 0))
    screen.close()
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 100])
def test_a_terminal_shows_the_curves_the_figures_and_the_bar(run, width):
    said = screen_of(run, width)
    assert any("\u2801" <= letter <= "\u28ff" for letter in said)
    assert "training 0.1" in said
    assert "best 0.125 at step 40" in " ".join(said.split())


def test_a_job_without_events_yet_is_shown_too(org):
    job = jobs.submit(kind="distil", org=org, subject_id=testing.make_model(org).id)
    out = io.StringIO()
    screen = Screen(Console(file=out, force_terminal=True))
    screen.show(journey.beat_of(Story(job_id=job.id), 0))
    screen.close()
    assert "queued" in out.getvalue()


def test_markup_in_a_message_is_text(run):
    JobEvent.emit(run.job_id, "log", "[red]not a style[/nor an end]")
    out = io.StringIO()
    Lines(Console(file=out)).show(journey.beat_of(Story(job_id=run.job_id), 0))
    assert "[red]not a style[/nor an end]" in out.getvalue()


def test_following_ends_when_it_is_closed_and_shows_all_events_so_far(run):
    closed = threading.Event()
    closed.set()
    events = [e for beat in journey.follow(Story(job_id=run.job_id), closed) for e in beat.events]
    assert [event.seq for event in events] == list(range(1, 42))


@pytest.mark.django_db(transaction=True)
def test_the_display_of_build_model_shows_all_before_it_closes(run):
    out = io.StringIO()
    with displayed(Story(job_id=run.job_id), Console(file=out)):
        JobEvent.emit(run.job_id, "log", "the last word")
    assert "the last word" in out.getvalue()


def test_find_story_refuses_with_a_hint(db):
    with pytest.raises(UserFacingError) as refused:
        journey.find_story("acme")
    assert "organisation/model" in refused.value.hint


def test_a_line_goes_from_corner_to_corner_and_its_ends_are_written_at_the_axis():
    rows = _plot([Point(step=step, loss=7.0 - step) for step in range(8)], 20).plain.splitlines()
    assert rows[0].split()[0] == "7"
    assert rows[0][AXIS_WIDTH + 1] != " "
    assert rows[-1].strip().startswith("0")
    assert rows[-1].rstrip()[-1] != "0"


@pytest.mark.parametrize("steps", [[3], [3, 4]])
def test_losses_that_do_not_differ_are_drawn_in_the_middle(steps):
    rows = _plot([Point(step=step, loss=1.5) for step in steps], 20).plain.splitlines()
    assert [bool(row.strip()) for row in rows] == [False] * 3 + [True] + [False] * 4
