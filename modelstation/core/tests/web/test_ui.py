"""The frame of every page, the form renderer, the small pieces, and the operators' view of jobs."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from django import forms
from django.template import Context, Template
from django.urls import reverse

from models_app.serving import client
from modelstation.core.jobs import health, jobs
from modelstation.core.models import Job, JobEvent
from modelstation.core.templatetags import ui
from modelstation.testing import make_model, make_user, make_version


class ExampleForm(forms.Form):
    name = forms.CharField(help_text="Any name.")
    note = forms.CharField(required=False)


@pytest.fixture(autouse=True)
def _server_is_up(monkeypatch):
    monkeypatch.setattr(client, "health", lambda: True)


# --- pieces -----------------------------------------------------------------------------------


def test_a_fields_error_and_help_are_tied_to_its_input():
    html = str(ExampleForm({"name": ""}))
    assert 'aria-describedby="id_name_helptext id_name_error"' in html
    assert 'id="id_name_error"' in html
    assert 'aria-invalid="true"' in html
    assert html.count(">optional<") == 1


def test_what_a_user_typed_is_escaped():
    html = str(ExampleForm({"name": '"><script>alert(1)</script>'}))
    assert "<script>" not in html


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.4, "0 s"), (59.4, "59 s"), (61, "1 min 01 s"), (3725, "1 h 02 min")],
)
def test_durations_read_like_speech(seconds, text):
    assert ui.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (1234, "1.2k"), (134_515_008, "134.5M")]
)
def test_large_counts_are_shortened(count, text):
    assert ui.compact(count) == text


def test_milliseconds_become_seconds_where_there_are_many():
    assert [ui.milliseconds(count) for count in (None, 432, 15443)] == ["–", "432 ms", "15.4 s"]


def test_a_moment_is_told_in_utc_whatever_its_zone():
    at = datetime(2026, 11, 4, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert ui.moment(at) == "3 Nov 2026, 23:30 UTC"
    assert ui.moment(at.astimezone(UTC)) == ui.moment(at)
    assert ui.moment(None) == "–"


def test_a_difference_is_told_in_points_with_its_sign():
    assert [ui.as_points(value) for value in (-0.081, 0.0304, None, "")] == [
        "-8.1 points", "+3.0 points", "–", "–",
    ]  # fmt: skip


def test_a_badge_escapes_what_it_does_not_know():
    assert "<b>" not in Template("{% badge value %}").render(Context({"value": "<b>"}))


# --- pages ------------------------------------------------------------------------------------


def test_a_visitor_sees_the_landing_page_and_a_member_lands_on_the_dashboard(client, as_bob, org):
    assert "Sign up" in client.get("/").content.decode()
    assert as_bob.get("/").url == reverse("dashboard", args=["acme"])


def test_who_belongs_to_no_organisation_is_told_so(client, db):
    client.force_login(make_user("lonely@example.org"))
    assert "no organisation" in client.get("/").content.decode()


def test_an_empty_dashboard_says_what_to_do_next(as_bob, org):
    page = as_bob.get(reverse("dashboard", args=["acme"])).content.decode()
    assert "Make your first model" in page
    assert reverse("model_new", args=["acme"]) in page


def test_the_dashboard_shows_live_work_and_system_problems(as_bob, org, monkeypatch):
    model = make_model(org, name="Bank intents", status="distilling")
    jobs.submit(kind="distil", org=org, subject_id=model.id)
    problem = health.Problem("disk_full", "Only 10 MB of disk are free.")
    monkeypatch.setattr(health, "problems", lambda: [problem])
    response = as_bob.get(reverse("dashboard", args=["acme"]))
    assert [work.name for work in response.context["work"]] == ["Bank intents"]
    assert "Only 10 MB of disk are free." in response.content.decode()


def test_a_measured_model_shows_its_scores_with_intervals_and_each_criterions_outcome(as_bob, org):
    from training.models import EvaluationRun

    model = make_model(org, status="ready")
    version = make_version(model)
    run = EvaluationRun.objects.create(
        org=org,
        job=jobs.submit(kind="evaluate", org=org, subject_id=model.id),
        model=model,
        version=version,
        metric="exact_match",
        verdict="inconclusive",
        criteria=[{"outcome": "inconclusive", "passed": False, "sentence": "Too few rows."}],
    )
    run.scores.create(subject="base", metric="exact_match", score=0.12, low=0.1, high=0.14)
    run.scores.create(subject="tuned", metric="exact_match", score=0.9, low=0.87, high=0.93)
    page = as_bob.get(reverse("model", args=["acme", model.id])).content.decode()
    assert "90.0 % (87.0 to 93.0 %)" in page
    assert "12.0 % (10.0 to 14.0 %)" in page
    assert page.count("Inconclusive") == 2  # the verdict, and its one criterion
    assert "Too few rows." in page


def test_health_names_problems_by_code_and_needs_no_login(client, db):
    body = client.get("/health/").json()
    assert body["status"] == "degraded"
    assert "no_worker_gpu" in body["problems"]


def test_no_page_carries_inline_style_or_script(as_bob, org):
    model = make_model(org)
    for name, args in (("dashboard", []), ("models", []), ("model_new", []), ("model", [model.id])):
        response = as_bob.get(reverse(name, args=["acme", *args]))
        html = response.content.decode()
        assert " style=" not in html
        assert "<style" not in html
        assert "<script>" not in html
        assert "'unsafe-inline'" not in response["Content-Security-Policy"]


def test_a_missing_page_is_said_plainly(as_bob):
    response = as_bob.get("/o/nowhere/")
    assert response.status_code == 404
    assert "There is no such page" in response.content.decode()


# --- operators --------------------------------------------------------------------------------


@pytest.fixture
def as_operator(client, db):
    client.force_login(make_user("operator@example.org", is_staff=True, is_superuser=True))
    return client


def press(operator, action, job):
    data = {"action": action, "_selected_action": [str(job.id)]}
    return operator.post(reverse("admin:core_job_changelist"), data, follow=True)


def test_operators_cancel_and_requeue_jobs(as_operator, org):
    model = make_model(org, status="pending")
    job = jobs.submit(kind="distil", org=org, subject_id=model.id)
    press(as_operator, "cancel", job)
    job.refresh_from_db()
    assert job.state == "cancelled"
    press(as_operator, "requeue", job)
    assert Job.objects.filter(subject_id=model.id, state="queued").count() == 1


def test_an_action_that_cannot_be_done_is_explained_to_the_operator(as_operator, org):
    job = jobs.submit(kind="distil", org=org, subject_id=make_model(org).id)
    assert "is queued or running" in press(as_operator, "requeue", job).content.decode()
    jobs.request_cancel(job)
    assert "has ended already" in press(as_operator, "cancel", job).content.decode()


def test_operators_find_models_and_jobs(as_operator, org):
    model = make_model(org, name="Bank intents")
    job = jobs.submit(kind="distil", org=org, subject_id=model.id)
    JobEvent.emit(job.id, "error", "It broke.", operator_detail="Traceback: details")
    models = as_operator.get(reverse("admin:models_app_custommodel_changelist"), {"q": "bank"})
    assert "Bank intents" in models.content.decode()
    found = as_operator.get(reverse("admin:core_job_changelist"), {"q": str(model.id)})
    assert "1 job" in found.content.decode()
    story = as_operator.get(reverse("admin:core_job_change", args=[job.id])).content.decode()
    assert "Traceback: details" in story
