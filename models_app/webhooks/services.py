"""Webhooks: an organisation's endpoints, and the events that are sent to them.

A delivery is a row made in the transaction that ends the job, so it is there if and only if the job
ended. A try is claimed before it is made; a delivery has eight within a day. They are signed by the
Standard Webhooks rules."""

import base64
import hashlib
import hmac
import json
import logging
import random
import secrets
import time
import uuid
from datetime import timedelta
from smtplib import SMTPException
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import transaction
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from accounts.audit import record
from accounts.models import Membership, Organization, Role, User
from models_app.models import CustomModel, WebhookDelivery, WebhookEndpoint
from models_app.webhooks.rows import WebhookEvent
from modelstation.core import outbound
from modelstation.core.encrypted import Sealed, SecretUnreadable
from modelstation.core.errors import Conflict, UserFacingError
from modelstation.core.jobs.queue import enqueue
from modelstation.core.models import Job

logger = logging.getLogger("modelstation.webhooks")

MAX_ENDPOINTS = 20
MAIL_TIMEOUT_SECONDS = 20
SECRETS_OVERLAP = timedelta(days=1)
# How long after each try the next one is made; there is none after the last.
DELAYS = [timedelta(minutes=minutes) for minutes in (1, 5, 20, 60, 180, 420, 720)]
JITTER = 0.2  # of a delay, so that the endpoints of one receiver do not all come back at once
AT_A_TIME, SECONDS_AT_A_TIME = 200, 40.0
DISABLED_AFTER = timedelta(days=5)  # of failing without a success between
GONE = 410
State = WebhookDelivery.State
STATUS_OF_TEST = {
    WebhookEvent.SUCCEEDED: CustomModel.Status.READY,
    WebhookEvent.CANCELLED: CustomModel.Status.CANCELLED,
}


# --- Endpoints ------------------------------------------------------------------------------------


def create_endpoint(
    *, actor: User, org: Organization, url: str, events: list[str], name: str = ""
) -> tuple[WebhookEndpoint, str]:
    """Return the endpoint, and its secret, which is shown this once."""
    _check(url, events)
    secret = _new_secret()
    with transaction.atomic():
        Organization.objects.select_for_update().get(pk=org.pk)
        if WebhookEndpoint.objects.filter(org=org).count() >= MAX_ENDPOINTS:
            message = f"An organisation has at most {MAX_ENDPOINTS} webhooks."
            raise Conflict(message, code="too_many_webhooks")
        endpoint: WebhookEndpoint = WebhookEndpoint.objects.create(
            org=org, name=name, url=url, events=events, created_by=actor, **_kept(secret)
        )
        record(org=org, actor=actor, action="webhook.create", target=endpoint, url=url)
    return endpoint, secret


def change_endpoint(*, actor: User, endpoint: WebhookEndpoint, **changes: Any) -> None:
    """`url`, `events`, `name`, `is_enabled`. Enabling it forgives what failed before."""
    _check(changes.get("url"), changes.get("events"))
    if changes.get("is_enabled"):
        changes |= {"failing_since": None, "disabled_reason": ""}
    for field, value in changes.items():
        setattr(endpoint, field, value)
    with transaction.atomic():
        endpoint.save(update_fields=[*changes, "updated_at"])
        details = {"target": endpoint, "fields": sorted(changes)}
        record(org=endpoint.org, actor=actor, action="webhook.change", **details)


def delete_endpoint(*, actor: User, endpoint: WebhookEndpoint) -> None:
    with transaction.atomic():
        record(org=endpoint.org, actor=actor, action="webhook.delete", target=endpoint)
        endpoint.delete()


def rotate_secret(*, actor: User, endpoint: WebhookEndpoint, keep_old: bool = True) -> str:
    """Make a new secret, shown this once; the old one signs beside it for a day, if it may."""
    secret = _new_secret()
    changes = {
        "old_secret": endpoint.secret if keep_old else "",
        "old_secret_until": timezone.now() + SECRETS_OVERLAP if keep_old else None,
        **_kept(secret),
    }
    for field, value in changes.items():
        setattr(endpoint, field, value)
    with transaction.atomic():
        endpoint.save(update_fields=[*changes, "updated_at"])
        record(org=endpoint.org, actor=actor, action="webhook.rotate", target=endpoint)
    return secret


def _check(url: str | None, events: list[str] | None) -> None:
    if url is not None:
        outbound.check_url(url)
    if events is not None and (not events or set(events) - set(WebhookEvent.values)):
        known = ", ".join(WebhookEvent.values)
        raise UserFacingError(f"One or more events are needed: {known}.", param="events")


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _kept(secret: str) -> dict[str, str]:
    return {"secret": secret, "secret_hint": f"{secret[:10]}…{secret[-4:]}"}


# --- Events -------------------------------------------------------------------------------------


def notify_of_end(*, model: CustomModel, job: Job, name: str, status: str) -> None:
    """Notify that the build `name` ended with the job, in the transaction that ends it."""
    event = WebhookEvent(f"fine_tuning.job.{status}")
    endpoints = WebhookEndpoint.objects.for_org(model.org_id)
    body = _event(event, name, model.status)
    for endpoint in endpoints.filter(is_enabled=True, events__contains=[event.value]):
        _send_later(endpoint, body, cause=f"{job.id}:{event.value}")


def send_test(
    *, actor: User, endpoint: WebhookEndpoint, event: str = "", at_once: bool = False
) -> WebhookDelivery:
    """Send an event as a real one would be, of a job that never was. `at_once`: it has been tried
    when this returns; else a worker sends it.
    """
    _must_be_enabled(endpoint)
    chosen = WebhookEvent(event or endpoint.events[0])
    status = STATUS_OF_TEST.get(chosen, CustomModel.Status.FAILED)
    body = _event(chosen, "ftjob-test", status)
    with transaction.atomic():
        record(org=endpoint.org, actor=actor, action="webhook.test", target=endpoint)
        delivery = _send_later(endpoint, body, cause=body["id"], wakes_worker=not at_once)
    if at_once:
        send(delivery.id)
        delivery.refresh_from_db()
    return delivery


def redeliver(*, actor: User, delivery: WebhookDelivery) -> None:
    """Send the same event with the same id: a receiver that had it knows it again."""
    endpoint = delivery.endpoint
    _must_be_enabled(endpoint)
    with transaction.atomic():
        again = {"state": State.WAITING, "attempts": 0, "next_try_at": timezone.now()}
        WebhookDelivery.objects.filter(id=delivery.id).update(**again)
        record(org=endpoint.org, actor=actor, action="webhook.redeliver", target=endpoint)
        enqueue(send, str(delivery.id))


def _event(event: WebhookEvent, job_name: str, status: str) -> dict[str, Any]:
    """Return it as OpenAI sends it, and the model's status: a build that "failed" may be one that
    was built and did not pass.
    """
    return {
        "object": "event",
        "id": f"evt_{uuid.uuid4().hex}",
        "type": event.value,
        "created_at": int(time.time()),
        "data": {"id": job_name, "model_status": status},
    }


def _send_later(
    endpoint: WebhookEndpoint, body: dict[str, Any], *, cause: str, wakes_worker: bool = True
) -> WebhookDelivery:
    fields = {"event_id": body["id"], "type": body["type"], "body": json.dumps(body)}
    delivery, is_new = WebhookDelivery.objects.get_or_create(
        endpoint=endpoint, cause=cause, defaults={"org_id": endpoint.org_id, **fields}
    )
    if is_new and wakes_worker:
        enqueue(send, str(delivery.id))
    return delivery


def _must_be_enabled(endpoint: WebhookEndpoint) -> None:
    if not endpoint.is_enabled:
        raise Conflict("This webhook is turned off.", code="webhook_disabled")


# --- Sending --------------------------------------------------------------------------------------


def send_waiting() -> int:
    """Send those whose next try is due, and those whose wakeup was lost. Slow receivers must not
    hold the worker for long: what is left over is sent a minute later.
    """
    give_up = time.monotonic() + SECONDS_AT_A_TIME
    due = WebhookDelivery.objects.filter(state=State.WAITING, next_try_at__lte=timezone.now())
    # The worker died in its last try.
    due.filter(attempts__gt=len(DELAYS)).update(state=State.GIVEN_UP)
    ids = list(due.order_by("next_try_at").values_list("id", flat=True)[:AT_A_TIME])
    return sum(send(delivery_id) for delivery_id in ids if time.monotonic() < give_up)


def send(delivery_id: uuid.UUID | str) -> bool:
    """Return False when there was nothing to send, or it did not arrive."""
    delivery = _claim(delivery_id)
    if delivery is None:
        return False
    if not delivery.endpoint.is_enabled:
        return _note(delivery, State.GIVEN_UP, error="the webhook is turned off")
    try:
        body, headers = delivery.body.encode(), _headers(delivery)
        answer = outbound.post(delivery.endpoint.url, content=body, headers=headers)
    except (outbound.Unreachable, SecretUnreadable) as error:
        return _note_failure(delivery, error=str(error)[:300])
    status = answer.status
    response = answer.body.decode(errors="replace").replace("\x00", "\ufffd")
    if 200 <= status < 300:
        WebhookEndpoint.objects.filter(id=delivery.endpoint_id).update(failing_since=None)
        reply = {"error": "", "status_code": status, "response": response}
        return _note(delivery, State.DELIVERED, **reply)
    problem = "redirects are not followed" if 300 <= status < 400 else ""
    return _note_failure(delivery, error=problem, status_code=status, response=response)


def signature(secret: str, event_id: str, timestamp: str, body: str) -> str:
    """https://www.standardwebhooks.com"""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{event_id}.{timestamp}.{body}".encode(), hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def _claim(delivery_id: uuid.UUID | str) -> WebhookDelivery | None:
    """Return the delivery, its next try put off: another worker has nothing to do now."""
    now = timezone.now()
    due = WebhookDelivery.objects.filter(
        id=delivery_id, state=State.WAITING, next_try_at__lte=now, attempts__lte=len(DELAYS)
    )
    if not due.update(attempts=F("attempts") + 1, next_try_at=now + DELAYS[0], tried_at=now):
        return None
    deliveries = WebhookDelivery.objects.select_related("endpoint__org")
    claimed: WebhookDelivery = deliveries.get(id=delivery_id)
    return claimed


def _headers(delivery: WebhookDelivery) -> dict[str, str]:
    timestamp = str(int(time.time()))
    endpoint, until = delivery.endpoint, delivery.endpoint.old_secret_until
    is_overlapping = until is not None and until > timezone.now()
    sealed = [endpoint.secret, endpoint.old_secret] if is_overlapping else [endpoint.secret]
    signatures = [
        signature(secret.open(), delivery.event_id, timestamp, delivery.body)
        for secret in sealed
        if isinstance(secret, Sealed)
    ]
    return {
        "content-type": "application/json",
        "user-agent": "ModelStation-Webhooks/1",
        "webhook-id": delivery.event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }


def _note_failure(
    delivery: WebhookDelivery, *, error: str, status_code: int | None = None, response: str = ""
) -> bool:
    logger.info("try %s of %s failed: %s %s", delivery.attempts, delivery, status_code, error)
    is_last = delivery.attempts > len(DELAYS)
    fields = {"error": error, "status_code": status_code, "response": response}
    _note(delivery, State.GIVEN_UP if is_last else State.WAITING, **fields)
    if not is_last:
        delay = DELAYS[delivery.attempts - 1] * random.uniform(1 - JITTER, 1 + JITTER)
        waiting = WebhookDelivery.objects.filter(id=delivery.id)
        waiting.update(next_try_at=timezone.now() + delay)
    _judge(delivery.endpoint, is_gone=status_code == GONE)
    return False


def _note(delivery: WebhookDelivery, state: WebhookDelivery.State, **fields: Any) -> bool:
    WebhookDelivery.objects.filter(id=delivery.id).update(state=state, **fields)
    return state == State.DELIVERED


# --- An endpoint that has failed for days ---------------------------------------------------------


def _judge(endpoint: WebhookEndpoint, *, is_gone: bool) -> None:
    now = timezone.now()
    WebhookEndpoint.objects.filter(id=endpoint.id, failing_since=None).update(failing_since=now)
    since = endpoint.failing_since or now
    if is_gone:
        _disable(endpoint, "Its server said that it is gone (410).")
    elif since < now - DISABLED_AFTER:
        _disable(endpoint, f"Nothing has arrived there for {DISABLED_AFTER.days} days.")


def _disable(endpoint: WebhookEndpoint, reason: str) -> None:
    with transaction.atomic():
        enabled = WebhookEndpoint.objects.filter(id=endpoint.id, is_enabled=True)
        if not enabled.update(is_enabled=False, disabled_reason=reason):
            return
        details = {"target": endpoint, "reason": reason}
        record(org=endpoint.org, actor=None, action="webhook.disable", **details)
    _mail_the_owners(endpoint, reason)


def _mail_the_owners(endpoint: WebhookEndpoint, reason: str) -> None:
    owners = Membership.objects.filter(org=endpoint.org, role=Role.OWNER, user__is_active=True)
    page = settings.PUBLIC_URL + reverse("webhook", args=[endpoint.org.slug, endpoint.id])
    message = EmailMessage(
        subject=f"A webhook of {' '.join(endpoint.org.name.split())} was turned off",
        body=f"{endpoint.url}\n\n{reason} Turn it on again once it answers: {page}\n",
        to=list(owners.values_list("user__email", flat=True)),
        connection=get_connection(timeout=MAIL_TIMEOUT_SECONDS),
    )
    try:
        message.send()
    except (SMTPException, OSError) as error:
        logger.warning("the mail on the webhook %s was not sent: %s", endpoint.id, error)
