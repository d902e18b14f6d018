"""What the playground's answers used: counted like those of the API, by no token."""

import time
from collections.abc import Iterable

from models_app.models import CustomModel
from models_app.playground.services import Answer, Column, Conversation, messages_of
from models_app.serving.client import Completion
from models_app.usage.metering import record_usage
from models_app.usage.token_usage import count_unfinished


def count_answers(model: CustomModel, answers: Iterable[Answer]) -> None:
    for answer in answers:
        if answer.completion is not None:
            _count(model, answer.column, answer.completion, answer.milliseconds)


def count_conversation(model: CustomModel, conversation: Conversation) -> None:
    """Of answers whose reader has left, or that broke off, what was written until then."""
    count_answers(model, conversation.answers)
    failed = {answer.column.name for answer in conversation.answers if answer.error is not None}
    whole = {answer.column.name for answer in conversation.answers} - failed
    for column in conversation.columns:
        pieces = conversation.pieces.get(column.name, [])
        if column.name in whole or (column.name in failed and not pieces):
            continue
        messages = messages_of(column, conversation.question)
        used = count_unfinished(column.paths[1], messages, "".join(pieces), len(pieces))
        _count(model, column, used, round(1000 * (time.monotonic() - conversation.began)))


def _count(model: CustomModel, column: Column, used: Completion, milliseconds: int) -> None:
    record_usage(
        org_id=model.org_id,
        model=column.counted_as,
        version_id=column.version.id if column.version else None,
        used=used,
        milliseconds=milliseconds,
        is_playground=True,
    )
