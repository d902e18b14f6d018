"""A run's story by polling and as a stream: in order, without gaps, from where one left off."""

import json
import threading
import time

import pytest
from django.db import connection
from django.urls import reverse

from modelstation import testing
from modelstation.core.jobs import events
from modelstation.core.jobs.events import SLOTS, Story, facts_of
from modelstation.core.models import JobEvent
from training.runs.curves import MAX_POINTS, points_of
from training.tests.planted_runs import add_points, end, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(events, "POLL_SECONDS", 0.01)


@pytest.fixture
def model(org):
    return testing.make_model(org, status="training")


@pytest.fixture
def run(model):
    run = make_run(model)
    for kind, message in (("state", "Started."), ("stage", "Training"), ("log", "40 rows.")):
        JobEvent.emit(run.job_id, kind, message)
    return run


def read(response):
    """(id, event, data) of every message of a stream that ends."""
    body = b"".join(response.streaming_content).decode()
    messages = [dict(line.split(": ", 1) for line in part.splitlines()) for part in parts(body)]
    return [(m.get("id"), m["event"], json.loads(m["data"])) for m in messages if "event" in m]


def parts(body):
    return [part for part in body.split("\n\n") if part and not part.startswith(":")]


# --- whose it is ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "accept"), [("api_run_events", "*/*"), ("api_run_stream", "text/event-stream")]
)
def test_a_stranger_gets_404_for_a_runs_events(stranger, run, name, accept):
    response = stranger.get(reverse(name, args=[run.id]), HTTP_ACCEPT=accept)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("name", ["api_model_events", "api_model_stream"])
def test_a_stranger_gets_404_for_a_models_events(stranger, model, name):
    assert stranger.get(reverse(name, args=[model.id])).status_code == 404


@pytest.mark.parametrize("name", ["run_stream", "run_log", "run_log_text"])
def test_a_stranger_gets_404_for_the_pages_of_events(as_charlie, charlie, org, run, name):
    for slug in (org.slug, charlie.organizations.get().slug):
        assert as_charlie.get(reverse(name, args=[slug, run.id])).status_code == 404


# --- polling --------------------------------------------------------------------------------------


def test_events_are_polled_from_where_one_left_off(api, run):
    first = api.get(f"/api/v1/runs/{run.id}/events?limit=2").json()
    rest = api.get(f"/api/v1/runs/{run.id}/events?after={first[-1]['seq']}").json()
    assert [event["seq"] for event in first + rest] == [1, 2, 3]
    assert first[0]["message"] == "Started."
    assert api.get(f"/api/v1/runs/{run.id}/events?after=3").json() == []


def test_an_event_is_reported_alike_by_list_and_stream(api, run):
    add_points(run, 2)
    end(run.job, "succeeded")
    polled = api.get(f"/api/v1/runs/{run.id}/events").json()
    streamed = read(api.get(f"/api/v1/runs/{run.id}/events/stream"))
    assert [data for _, _, data in streamed[:-1]] == polled
    assert polled == [facts_of(event) for event in Story(job_id=run.job_id).after(0)]
    assert polled[-1]["data"]["valid_loss"] == 2.5


def test_a_models_events_keep_their_ids_and_gain_seq_and_data(api, run):
    (first, *_) = api.get(f"/api/v1/models/{run.model_id}/events").json()
    assert {"id", "job", "job_kind", "at", "kind", "message", "seq", "data"} == first.keys()
    rest = api.get(f"/api/v1/models/{run.model_id}/events?after={first['id']}&limit=1").json()
    assert [event["seq"] for event in rest] == [2]


def test_an_operators_detail_is_in_no_answer(api, run):
    JobEvent.emit(run.job_id, "error", "It failed.", operator_detail="Traceback: secret")
    end(run.job, "failed")
    assert "secret" not in api.get(f"/api/v1/runs/{run.id}/events").content.decode()
    assert "secret" not in str(read(api.get(f"/api/v1/runs/{run.id}/events/stream")))


# --- the stream -----------------------------------------------------------------------------------


def test_a_stream_shows_all_and_ends_with_the_run(api, run):
    JobEvent.emit(run.job_id, "error", "The disk is full.")
    end(run.job, "failed")
    lines = read(api.get(f"/api/v1/runs/{run.id}/events/stream"))
    assert [(number, kind) for number, kind, _ in lines] == [
        ("1", "state"),
        ("2", "stage"),
        ("3", "log"),
        ("4", "error"),
        (None, "end"),
    ]
    assert lines[-1][2] == {"state": "failed"}


@pytest.mark.parametrize(
    ("query", "headers"),
    [("", {"Last-Event-ID": "2"}), ("?after=2", {}), ("?after=1", {"Last-Event-ID": "2"})],
)
def test_a_stream_goes_on_after_the_last_event_that_was_seen(api, run, query, headers):
    end(run.job, "succeeded")
    lines = read(api.get(f"/api/v1/runs/{run.id}/events/stream{query}", headers=headers))
    assert [number for number, _, _ in lines] == ["3", None]


@pytest.mark.parametrize("junk", ["-1", "two", "9" * 30])
def test_a_last_event_that_is_no_number_begins_anew(api, run, junk):
    end(run.job, "succeeded")
    address = f"/api/v1/runs/{run.id}/events/stream"
    assert len(read(api.get(address, headers={"Last-Event-ID": junk}))) == 4


def test_a_stream_of_a_run_at_work_ends_after_its_time(api, run, monkeypatch):
    monkeypatch.setattr(events, "STREAM_SECONDS", 0.05)
    lines = read(api.get(f"/api/v1/runs/{run.id}/events/stream"))
    assert [number for number, _, _ in lines] == ["1", "2", "3"]


def test_silence_is_broken_by_a_heartbeat(api, run, monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.0)
    monkeypatch.setattr(events, "STREAM_SECONDS", 0.05)
    response = api.get(f"/api/v1/runs/{run.id}/events/stream?after=3")
    assert b": still here\n\n" in b"".join(response.streaming_content)


def test_a_models_stream_shows_of_all_its_jobs(api, run):
    end(run.job, "succeeded")
    lines = read(api.get(f"/api/v1/models/{run.model_id}/events/stream"))
    assert [kind for _, kind, _ in lines] == ["state", "stage", "log", "end"]
    ids = [int(number) for number, _, _ in lines[:-1]]
    assert ids == sorted(ids)


def test_a_page_reads_the_stream_of_its_run(as_bob, org, run):
    end(run.job, "succeeded")
    response = as_bob.get(reverse("run_stream", args=[org.slug, run.id]) + "?after=2")
    assert response["Content-Type"].startswith("text/event-stream")
    assert response["X-Accel-Buffering"] == "no"
    assert [number for number, _, _ in read(response)] == ["3", None]


def test_a_process_gives_out_fewer_streams_than_it_has_threads(settings):
    assert threads_of_the_procfile() // 2 >= settings.EVENT_STREAMS_PER_PROCESS


def threads_of_the_procfile():
    web = (testing.REPOSITORY / "Procfile").read_text().splitlines()[0].split()
    return int(web[web.index("--threads") + 1])


def test_one_stream_too_many_is_refused_with_when_to_come_back(api, run, settings):
    settings.EVENT_STREAMS_PER_ORGANIZATION = 1
    held = api.get(f"/api/v1/runs/{run.id}/events/stream")

    refused = api.get(f"/api/v1/runs/{run.id}/events/stream")
    assert refused.status_code == 429
    assert refused["Retry-After"] == "10"
    assert refused.json()["error"]["code"] == "too_many_streams"
    assert api.get(f"/api/v1/runs/{run.id}/events").status_code == 200

    for _ in range(2):
        testing.let_go(held)
    again = api.get(f"/api/v1/runs/{run.id}/events/stream")
    assert again.status_code == 200
    testing.let_go(again)


def test_one_organisation_leaves_a_stream_to_others_and_all_leave_threads(settings):
    settings.EVENT_STREAMS_PER_PROCESS, settings.EVENT_STREAMS_PER_ORGANIZATION = 2, 1
    first, second = SLOTS.take("acme"), SLOTS.take("elsewhere")
    try:
        assert SLOTS.take("acme") is None
        assert SLOTS.take("a third") is None
    finally:
        first()
        second()


@pytest.mark.django_db(transaction=True)
def test_events_of_many_writers_come_in_order_and_without_gaps(api, run):
    """Four write while one reads; what was read is never overtaken."""
    threads = [threading.Thread(target=_add_many, args=(run.job_id, n)) for n in range(4)]
    for thread in threads:
        thread.start()
    closer = threading.Thread(target=_end_after, args=(threads, run))
    closer.start()
    lines = read(api.get(f"/api/v1/runs/{run.id}/events/stream"))
    closer.join()
    assert [number for number, _, _ in lines[:-1]] == [str(n) for n in range(1, 104)]


def _add_many(job_id, writer):
    try:
        for number in range(25):
            JobEvent.emit(job_id, "log", f"{writer}: {number}")
            time.sleep(0.001)
    finally:
        connection.close()


def _end_after(threads, run):
    try:
        for thread in threads:
            thread.join()
        end(run.job, "succeeded")
    finally:
        connection.close()


# --- curves ---------------------------------------------------------------------------------------


def test_a_long_curve_is_thinned_and_keeps_first_last_lowest_and_highest(run):
    odd = {777: 0.001, 1501: 99.0}
    add_points(run, 3000, loss=lambda step: odd.get(step, 4 / step + 1))
    train = [(p.step, p.loss) for p in points_of(run.job_id) if p.loss is not None]
    valid = [p for p in points_of(run.job_id) if p.valid_loss is not None]
    assert len(train) <= MAX_POINTS
    assert len(valid) <= 2 * MAX_POINTS
    assert {(1, 5.0), (777, 0.001), (1501, 99.0), (3000, 4 / 3000 + 1)} <= set(train)
    assert min(p.valid_loss for p in valid) == 5 / 3000
    assert train == sorted(train)


def test_a_short_curve_is_reported_whole(run):
    add_points(run, 40)
    assert [point.step for point in points_of(run.job_id)] == list(range(1, 41))
    assert [point.step for point in points_of(run.job_id, after_step=38)] == [39, 40]


def test_a_step_that_was_taken_again_counts_as_reported_last(run):
    for loss in (2.0, 1.5):
        JobEvent.emit(run.job_id, "metrics", data={"step": 7, "loss": loss})
    assert [(point.step, point.loss) for point in points_of(run.job_id)] == [(7, 1.5)]


def test_a_loss_that_is_no_number_leaves_no_point(run):
    JobEvent.emit(run.job_id, "metrics", data={"step": 1, "loss": None, "learning_rate": 0.1})
    assert points_of(run.job_id) == []
