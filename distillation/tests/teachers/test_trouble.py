"""What a teacher, a network or a budget may do wrong: a sentence, and nothing half done."""

import json
import time

import pytest
from django.db import connection

from distillation.models import CorpusExample, SourceDataset, TeacherRequest, TeacherRun
from distillation.teachers import asking, services, wire
from distillation.teachers.services import Budget
from distillation.tests.teachers import fake_teacher as fakes
from distillation.tests.teachers.conftest import work_off

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch, settings):
    monkeypatch.setattr(asking, "FIRST_WAIT", 0.05)
    monkeypatch.setattr(asking, "MOST_WAIT", 0.1)
    settings.TEACHER_OUTAGE_SECONDS = 1


def test_what_passes_is_sent_again_and_counted_once(run_of, fake):
    fake.plays.extend(
        [
            fakes.refuses(429, retry_after="0.1"),
            fakes.refuses(500),
            fakes.hangs_up,
            fakes.fences(fake),
            fakes.says("{broken"),
            fakes.says('{"rows": "none"}'),
        ]
    )
    run = run_of(rows=40)
    assert (run.job.state, run.row_count) == ("succeeded", 40)
    assert run.spent["tokens"] == fake.tokens  # what was broken is paid, too
    assert run.spent["perhaps_paid"] == 1  # the connection that was cut


def test_a_retry_after_is_kept_to(run_of, fake, monkeypatch):
    times = []
    reply = fake.reply
    monkeypatch.setattr(fake, "reply", lambda body: times.append(time.monotonic()) or reply(body))
    started = []

    def limit(handler, body):
        started.append(time.monotonic())
        fakes.refuses(429, retry_after="0.7")(handler, body)

    fake.plays.append(limit)
    run_of(rows=10)
    assert times[0] - started[0] >= 0.7


def test_an_answer_of_the_wrong_count_is_tried_again_then_left_out(run_of, fake):
    run = run_of(rows=40)
    assert not TeacherRequest.objects.filter(run=run, state="refused").exists()
    fake.left.extend(fakes.rows_of_all())
    fake.output = fakes.label_of
    wrong = fakes.says('{"outputs": ["plumbing"]}')
    original = fake.reply

    def reply(body):
        name = body["response_format"]["json_schema"]["name"]
        return {"outputs": ["plumbing"]} if name == "outputs" else original(body)

    fake.reply = reply
    second = run_of(rows=20, seed=7)
    assert wrong
    assert second.job.state == "succeeded"
    bad = TeacherRequest.objects.filter(run=second, state="refused")
    assert bad.exists()
    assert set(bad.values_list("purpose", "attempts")) == {("outputs", 3)}
    assert "instead of" in bad[0].error


@pytest.mark.parametrize(
    ("play", "code", "words"),
    [
        (fakes.refuses(401), "teacher_key_refused", "does not accept the key"),
        (fakes.refuses(403), "teacher_key_refused", "does not accept the key"),
        (fakes.refuses(404), "teacher_refuses", "Check its base URL"),
        (fakes.refuses(302, location="http://169.254.169.254/"), "teacher_redirects", "redirects"),
        (fakes.sends(b"<html><body>Welcome"), "not_a_teacher", "a web page"),
        (fakes.sends(b'{"choices": []}'), "not_a_teacher", "no message"),
        (fakes.sends(b"[" * 100_000), "not_a_teacher", "no JSON"),
        (fakes.sends(b"x" * 10_000_000), "teacher_answers_too_much", "more than 2 MB"),
    ],
)
def test_what_does_not_pass_fails_at_once_with_a_sentence(run_of, fake, play, code, words):
    fake.plays.append(play)
    run = run_of(rows=40)
    assert (run.job.state, run.job.error_code) == ("failed", code)
    assert words in run.job.error_text
    assert len(fake.requests) == 1
    assert not CorpusExample.objects.exists()


def test_a_teacher_that_never_keeps_to_the_form_is_given_up(run_of, fake):
    fake.reply = lambda body: {"thoughts": "I would rather not"}
    run = run_of(rows=40)
    assert (run.job.state, run.job.error_code) == ("failed", "teacher_answers_badly")
    assert len(fake.requests) == asking.MOST_USELESS * asking.MOST_USELESS_IN_A_ROW


def test_an_outage_waits_then_fails_and_its_rows_can_be_used(run_of, fake, alice):
    away = []

    def reply(body, original=fake.reply):
        if len(fake.requests) > 10:
            away.append(1)
            fake.plays.extend([fakes.refuses(503)] * 200)
        return original(body)

    fake.reply = reply
    run = run_of(rows=120)
    assert (run.job.state, run.job.error_code) == ("failed", "teacher_away")
    assert "did not answer for too long: HTTP 503" in run.job.error_text
    answered, sent = run.spent["answered"], len(fake.requests)
    again = work_off(services.go_on(actor=alice, run=run, is_closing=True))
    assert again.job.state == "succeeded", again.job.error_text
    assert again.row_count > 0
    assert (again.spent["answered"], len(fake.requests)) == (answered, sent)
    assert CorpusExample.objects.filter(source=again.source).count() == again.row_count


def test_a_run_that_failed_goes_on_without_paying_again(run_of, fake, alice):
    fake.plays.extend([None] * 8 + [fakes.refuses(401)])
    run = run_of(rows=100)
    assert run.job.state == "failed"
    paid = fake.tokens
    again = work_off(services.go_on(actor=alice, run=run, is_closing=False))
    assert (again.job.state, again.row_count) == ("succeeded", 100)
    assert again.spent["tokens"] == fake.tokens > paid
    assert again.spent["requests"] == len(fake.requests)


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget(requests=9), "budget of 9 requests"),
        (Budget(tokens=12_000), "budget of 12,000 tokens"),
        (Budget(cost=services.Decimal("0.05")), "budget of 0.05 USD"),
    ],
)
def test_a_budget_is_never_exceeded_and_what_was_checked_is_kept(run_of, budget, words):
    run = run_of(rows=200, budget=budget)
    assert run.job.state == "succeeded", run.job.error_text
    assert words in run.note
    assert 0 < run.row_count < 200
    assert run.spent["requests"] <= run.max_requests
    assert run.spent["tokens"] <= run.max_tokens
    if run.max_cost is not None:
        assert run.spent["cost"] <= run.max_cost


def test_an_unreachable_teacher_is_no_half_run(run_of, teacher, alice, org):
    url = "http://127.0.0.1:9/v1"
    services.change_teacher(actor=alice, org=org, teacher=teacher, base_url=url, api_key=fakes.KEY)
    run = run_of(rows=40)
    assert (run.job.state, run.job.error_code) == ("failed", "teacher_away")
    assert "cannot be reached" in run.job.error_text
    assert not CorpusExample.objects.exists()


def test_a_slow_teacher_is_left_at_the_deadline(teacher, fake):
    fake.delay = 2
    with pytest.raises(wire.Away, match="no answer within"):
        wire.ask(teacher, prompt(), seconds=0.3)


def test_a_cancelled_run_stops_within_seconds_of_a_slow_answer(run_of, fake, alice):
    cancelled = []

    def slow(handler, body):
        run = TeacherRun.objects.get()
        services.cancel_run(actor=alice, run=run)
        cancelled.append(time.monotonic())
        connection.close()  # of the server's thread
        time.sleep(30)

    fake.plays.extend([None, None, slow])
    run = run_of(rows=60)
    assert time.monotonic() - cancelled[0] < 8
    assert run.job.state == "cancelled"
    assert (run.spent["answered"], run.spent["requests"]) == (2, 3)
    assert not CorpusExample.objects.exists()


def test_rows_of_a_run_that_ended_while_it_stored_are_taken_back(run_of, alice, org, monkeypatch):
    def breaks(work):
        raise wire.TeacherRefused("The disk is full.", code="disk_full")

    with monkeypatch.context() as patch:
        patch.setattr("distillation.model_data.storing.finish", breaks)
        run = run_of(rows=40)
    assert run.job.state == "failed"
    assert not CorpusExample.objects.exists()
    assert not SourceDataset.objects.filter(org=org).exists()
    again = work_off(services.go_on(actor=alice, run=run, is_closing=False))
    assert (again.job.state, again.row_count) == ("succeeded", 40)
    assert CorpusExample.objects.filter(source=again.source).count() == 40


def test_a_teacher_keeps_its_pace(fake, teacher, run_of, monkeypatch):
    monkeypatch.setattr(asking, "MINUTE", 0.5)
    type(teacher).objects.filter(id=teacher.id).update(requests_per_minute=4)
    started = time.monotonic()
    run_of(rows=40)
    assert time.monotonic() - started >= 0.5 * (len(fake.requests) // 4 - 1)


def test_several_requests_at_a_time_are_planned_the_same(run_of, fake, teacher):
    type(teacher).objects.filter(id=teacher.id).update(max_concurrent=3)
    run = run_of(rows=60)
    assert run.row_count == 60
    numbers = list(run.requests.values_list("number", flat=True))
    assert numbers == list(range(len(fake.requests)))


def test_a_key_is_in_no_log_answer_or_audit(run_of, fake, as_alice, api, org, caplog, model):
    fake.plays.append(fakes.refuses(401))
    run = run_of(rows=40)
    assert fake.keys == [f"Bearer {fakes.KEY}"]
    pages = [
        as_alice.get(f"/o/{org.slug}/settings/teachers/").content.decode(),
        as_alice.get(f"/o/{org.slug}/settings/teachers/{run.teacher_id}/").content.decode(),
        as_alice.get(f"/o/{org.slug}/models/{model.id}/teacher/{run.id}/").content.decode(),
        api.get("/api/v1/teachers").content.decode(),
        api.get(f"/api/v1/models/{model.id}/teacher-runs").content.decode(),
        caplog.text,
        json.dumps(list(run.job.events.values_list("message", "operator_detail"))),
    ]
    assert not [page for page in pages if fakes.KEY in page]


def prompt():
    from distillation.teachers.prompts import Prompt

    return Prompt("verdicts", "Check.", '[{"input": "a", "output": "b"}]', {"type": "object"}, 1)
