"""Tasks of the default queue: e-mail on the end of a build."""


def send_end_mail(mail_id: str) -> None:
    from models_app import mails

    mails.send(mail_id)


def send_waiting_mails() -> int:
    """Scheduled every minute: what failed before, and what a lost hint left behind."""
    from models_app import mails

    return mails.send_waiting()
