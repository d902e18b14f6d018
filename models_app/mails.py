"""E-mail on the end of a build: to who started it, once, from a worker.

The row is made in the transaction that ends the job, so it is there if and only if the job ended.
A try is claimed before it is made; one that fails is made again later, a few times."""

import logging
import uuid
from datetime import timedelta
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from accounts.models import EndMail, Membership
from models_app.models import CustomModel
from modelstation.core.jobs.failures import failure_of
from modelstation.core.jobs.queue import enqueue
from modelstation.core.models import Job

logger = logging.getLogger("modelstation.mails")

TIMEOUT_SECONDS = 20
# How long after each try the next one is made; there is none after the last.
DELAYS = [timedelta(minutes=minutes) for minutes in (1, 10, 60, 360)]
State = EndMail.State
SUBJECTS: dict[str, str] = {
    CustomModel.Status.READY: "is ready",
    CustomModel.Status.NOT_PASSED: "was built and did not pass",
    CustomModel.Status.UNDECIDED: "was built, and its test is undecided",
}


def notify_of_end(*, model: CustomModel, job: Job) -> None:
    """Queue the mail, in the transaction that ends the job."""
    if model.built_by_id is None:
        return
    reader = {"org_id": model.org_id, "user_id": model.built_by_id}
    mail, is_new = EndMail.objects.get_or_create(job=job, defaults=reader)
    if is_new:
        enqueue(send, str(mail.id))


def send_waiting() -> int:
    """Send those whose next try is due, and those whose wakeup was lost."""
    due = EndMail.objects.filter(state=State.WAITING, next_try_at__lte=timezone.now())
    return sum(send(mail_id) for mail_id in due.values_list("id", flat=True))


def send(mail_id: uuid.UUID | str) -> bool:
    """Send one. False when there was nothing to send, or it failed."""
    mail = _claim(mail_id)
    if mail is None:
        return False
    model = CustomModel.objects.filter(id=mail.job.subject_id).select_related("org").first()
    is_member = Membership.objects.filter(org=mail.org, user=mail.user).exists()
    is_wanted = is_member and mail.user.is_active and mail.user.mail_when_built
    if model is None or not is_wanted:
        return _set(mail, State.UNWANTED)
    try:
        _message(mail, model).send()
    except (SMTPException, OSError) as error:
        return _note_failure(mail, error)
    return _set(mail, State.SENT)


def _claim(mail_id: uuid.UUID | str) -> EndMail | None:
    """Return the mail, its next try put off: another worker has nothing to do now."""
    waiting = EndMail.objects.filter(id=mail_id, state=State.WAITING)
    due = waiting.filter(next_try_at__lte=timezone.now(), attempts__lte=len(DELAYS))
    next_try_at = timezone.now() + DELAYS[0]
    if not due.update(attempts=F("attempts") + 1, next_try_at=next_try_at):
        return None
    mail: EndMail = EndMail.objects.select_related("job", "user", "org").get(id=mail_id)
    return mail


def _set(mail: EndMail, state: EndMail.State) -> bool:
    EndMail.objects.filter(id=mail.id).update(state=state)
    return state == State.SENT


def _note_failure(mail: EndMail, error: Exception) -> bool:
    """Put the next try off, or give up. It never concerns the job."""
    if mail.attempts > len(DELAYS):
        logger.error("the mail %s is given up after %s tries: %s", mail.id, mail.attempts, error)
        return _set(mail, State.GIVEN_UP)
    logger.warning("try %s of the mail %s failed: %s", mail.attempts, mail.id, error)
    next_try_at = timezone.now() + DELAYS[mail.attempts - 1]
    EndMail.objects.filter(id=mail.id).update(next_try_at=next_try_at)
    return False


# --- its text -------------------------------------------------------------------------------------


def _message(mail: EndMail, model: CustomModel) -> EmailMessage:
    status = model.status if _has_ended_a_build(mail.job) else CustomModel.Status.FAILED
    name = " ".join(model.name.split())
    return EmailMessage(
        subject=f"{name} {SUBJECTS.get(status, 'was not built')}",
        body="\n\n".join(filter(None, [*_story(mail, model), *_links(mail, model)])) + "\n",
        to=[mail.user.email],
        connection=get_connection(timeout=TIMEOUT_SECONDS),
    )


def _has_ended_a_build(job: Job) -> bool:
    """Where only a training was requested, an evaluation that failed takes nothing from it."""
    return job.state == Job.State.SUCCEEDED or job.kind == "evaluate"


def _story(mail: EndMail, model: CustomModel) -> list[str]:
    if model.status == CustomModel.Status.READY and _has_ended_a_build(mail.job):
        how = "built and is served now" if model.live_version_id else "trained"
        return [f"“{model.name}” is {how}.", _scores(model), model.status_reason]
    if failure := failure_of(mail.job):
        advice = f"What to try: {failure.advice}" if failure.advice else ""
        return [f"The build of “{model.name}” failed: {failure.sentence}", advice]
    how = "its test rows cannot tell whether it passes"
    if model.status != CustomModel.Status.UNDECIDED:
        how = "it did not pass"
    unpublished = f"“{model.name}” was built and measured, and {how}: its version is not published."
    return [unpublished, model.status_reason, _scores(model)]


def _scores(model: CustomModel) -> str:
    version = model.versions.first()
    scores = version.scores if version else {}
    if not scores:
        return ""
    return (
        f"Its {scores['metric']} is {scores['tuned']['score']:.3f}, that of its base "
        f"{scores['base']['score']:.3f}, on {scores['n_test']:,} held-out rows."
    )


def _links(mail: EndMail, model: CustomModel) -> list[str]:
    page = settings.PUBLIC_URL + reverse("model", args=[model.org.slug, model.id])
    account = settings.PUBLIC_URL + reverse("account", args=[model.org.slug])
    return [page, f"--\nYou started this build in {model.org}. No such e-mails: {account}"]
