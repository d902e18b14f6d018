"""E-mail on the end of a build: to whom, when, how often, and what it says."""

import smtplib
from datetime import timedelta
from smtplib import SMTPServerDisconnected

import pytest
from django.core import mail as outbox
from django.utils import timezone
from django_q.models import OrmQ

from accounts.models import EndMail, Membership, User
from models_app import mails
from models_app.models import CustomModel
from modelstation import testing
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job
from modelstation.testing import make_version
from training.builds import ends
from training.builds import services as builds
from training.models import EvaluationRun
from training.tests.planted_runs import make_job

pytestmark = pytest.mark.django_db
SCORES = {
    "metric": "exact_match",
    "n_test": 40,
    "base": {"score": 0.1},
    "tuned": {"score": 0.85},
}


@pytest.fixture
def model(org, bob):
    return testing.make_model(org, status="training", built_by=bob)


def fail(model, code="diverged"):
    """End a training in failure as its worker does."""
    job = jobs.submit(kind="train", org=model.org, subject_id=model.id)

    def work(job, lease):
        raise UserFacingError("The loss is no number at step 12.", code=code)

    jobs.run_job(str(job.id), work)
    return EndMail.objects.filter(job=job).first()


def succeed(model, passed=True, missed="fail"):
    job = make_job(model, "evaluate", "succeeded")
    run = EvaluationRun.objects.create(
        org=model.org,
        job=job,
        model=model,
        version=make_version(model),
        metric="exact_match",
    )
    criterion = {"sentence": "exact_match is 0.850, below 0.900.", "passed": passed}
    verdict = "pass" if passed else missed
    result = SCORES | {"verdict": verdict, "criteria": [criterion], "baseline": {"score": 0.0}}
    ends.finish_evaluation(run=run, folder="e", result=result)
    return EndMail.objects.get(job=job)


def be_due(mail):
    EndMail.objects.filter(id=mail.id).update(next_try_at=timezone.now() - timedelta(seconds=1))


@pytest.fixture
def refusing(settings, monkeypatch):
    """Stand in for a mail server that hangs up on everybody."""

    def hang_up(self, *args, **kwargs):
        raise SMTPServerDisconnected("Connection unexpectedly closed")

    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    monkeypatch.setattr(smtplib.SMTP, "connect", hang_up)


def test_who_started_a_build_is_notified_that_it_failed_and_what_to_try(model, bob, settings):
    settings.PUBLIC_URL = "https://slm.example.org"
    mail = fail(model)
    assert outbox.outbox == []  # it is a worker who sends it

    assert mails.send(mail.id)

    (sent,) = outbox.outbox
    assert sent.to == [bob.email]
    assert sent.subject == "Bank intents was not built"
    assert "The loss is no number at step 12." in sent.body
    assert "What to try: Use a learning_rate a quarter as high" in sent.body
    assert f"https://slm.example.org/o/acme/models/{model.id}/" in sent.body
    assert "/o/acme/account/" in sent.body


def test_who_started_a_build_is_notified_that_it_is_ready(model):
    mails.send(succeed(model).id)

    (sent,) = outbox.outbox
    assert sent.subject == "Bank intents is ready"
    assert "exact_match is 0.850, that of its base 0.100, on 40 held-out rows" in sent.body


@pytest.mark.parametrize(
    ("verdict", "subject", "said"),
    [
        ("fail", "was built and did not pass", "and it did not pass"),
        ("inconclusive", "was built, and its test is undecided", "cannot tell whether it passes"),
    ],
)
def test_a_model_that_misses_a_criterion_is_reported_with_the_criterion(
    model, verdict, subject, said
):
    mails.send(succeed(model, passed=False, missed=verdict).id)

    (sent,) = outbox.outbox
    assert sent.subject == f"Bank intents {subject}"
    assert said in sent.body
    assert "exact_match is 0.850, below 0.900." in sent.body


def test_a_job_that_ends_sends_its_hint_with_its_end(model):
    mail = fail(model)
    tasks = [wakeup.task for wakeup in OrmQ.objects.all()]
    wakeups = [task for task in tasks if task["func"] == "models_app.mails.send"]
    assert [task["args"] for task in wakeups] == [(str(mail.id),)]
    assert wakeups[0].get("cluster") is None


def test_a_job_is_reported_once_however_often_it_is_requested(model):
    mail = fail(model)
    mails.notify_of_end(model=model, job=mail.job)
    assert EndMail.objects.count() == 1

    assert [mails.send(mail.id) for _ in range(3)] == [True, False, False]
    assert mails.send_waiting() == 0
    assert len(outbox.outbox) == 1


def test_a_cancelled_build_is_no_news(model, bob):
    jobs.submit(kind="train", org=model.org, subject_id=model.id)
    builds.cancel_build(actor=bob, model=model)
    assert not EndMail.objects.exists()


def test_the_person_who_built_last_is_notified(model, alice):
    CustomModel.objects.filter(id=model.id).update(status="failed")
    builds.rebuild(actor=alice, model=model)
    model.refresh_from_db()
    Job.objects.all().delete()

    assert fail(model).user == alice


def test_a_build_that_nobody_started_tells_nobody(model):
    CustomModel.objects.filter(id=model.id).update(built_by=None)
    assert fail(CustomModel.objects.get(id=model.id)) is None


def test_who_has_left_the_organisation_gets_nothing(model, bob):
    mail = fail(model)
    Membership.objects.filter(user=bob).delete()

    assert not mails.send(mail.id)

    assert outbox.outbox == []
    mail.refresh_from_db()
    assert mail.state == "unwanted"


@pytest.mark.parametrize("wish", [{"mail_when_built": False}, {"is_active": False}])
def test_who_wants_no_mail_gets_none(model, bob, wish):
    User.objects.filter(id=bob.id).update(**wish)
    assert not mails.send(fail(model).id)
    assert outbox.outbox == []


def test_a_mail_goes_with_its_model(model, bob):
    mail = fail(model)
    builds.delete_model(actor=bob, model=model)
    assert not mails.send(mail.id)
    assert outbox.outbox == []


def test_a_name_with_line_breaks_makes_no_second_header(model):
    CustomModel.objects.filter(id=model.id).update(name="Bank\nBcc: eve@example.org")
    mails.send(fail(model).id)
    assert outbox.outbox[0].subject == "Bank Bcc: eve@example.org was not built"
    assert outbox.outbox[0].recipients() == ["bob@example.org"]


def test_a_server_that_refuses_is_tried_again_later_and_the_job_is_none_the_wiser(
    model, refusing, caplog
):
    mail = fail(model)

    assert not mails.send(mail.id)
    assert not mails.send(mail.id)  # not before its time

    mail.refresh_from_db()
    assert (mail.state, mail.attempts) == ("waiting", 1)
    assert mail.next_try_at > timezone.now()
    assert Job.objects.get(id=mail.job_id).error_code == "diverged"
    assert "try 1 of the mail" in caplog.text


def test_after_a_few_tries_it_is_given_up_and_logged(model, refusing, caplog):
    mail = fail(model)
    for _ in range(10):
        be_due(mail)
        mails.send_waiting()

    mail.refresh_from_db()
    assert (mail.state, mail.attempts) == ("given_up", len(mails.DELAYS) + 1)
    assert "is given up after 5 tries" in caplog.text


def test_a_lost_hint_is_made_good(model):
    fail(model)
    OrmQ.objects.all().delete()
    assert mails.send_waiting() == 1
    assert len(outbox.outbox) == 1
