"""Tasks of models: fetch a base, tell by mail and webhook how a build ended. One id in, the rest is
in its row.
"""

from modelstation.core.jobs import jobs


def run_fetch(job_id: str) -> None:
    from models_app.bases import fetching

    jobs.run_job(job_id, fetching.fetch)


def send_end_mail(mail_id: str) -> None:
    from models_app import mails

    mails.send(mail_id)


def send_waiting_mails() -> int:
    """Scheduled every minute: what failed before, and what a lost hint left behind."""
    from models_app import mails

    return mails.send_waiting()


def send_webhook(delivery_id: str) -> None:
    from models_app.webhooks import services as webhooks

    webhooks.send(delivery_id)


def send_waiting_webhooks() -> int:
    """Scheduled every minute, as for e-mails."""
    from models_app.webhooks import services as webhooks

    return webhooks.send_waiting()
