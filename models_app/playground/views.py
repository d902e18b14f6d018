"""The playground's pages: as a form that answers at once, and as a stream that its script reads."""

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.http import require_GET, require_POST

from accounts.access import org_for
from models_app.access import model_for
from models_app.models import CustomModel
from models_app.playground.forms import PlaygroundForm, dump_turns
from models_app.playground.services import Answer, Conversation, answer_all, columns_of, turns_after
from models_app.serving import client
from models_app.usage.metering import LimitReached, check_quota
from models_app.usage.playground import count_answers, count_conversation
from modelstation.core.jobs.events import (
    PAGE_HEARTBEAT_SECONDS,
    RETRY_AFTER_SECONDS,
    SLOTS,
    EventStream,
)

TOO_MANY = (
    "Too many answers and pages are being streamed for your organisation just now. "
    "Close one of them, or try again in a moment."
)


@login_required
@require_GET
def playground(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    model = model_for(org_for(request, org), model_id)
    return _page(request, model, PlaygroundForm(model=model), server_is_up=client.health())


@login_required
@require_POST
def playground_answer(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    """Show the whole page with the answers, for browsers without our script."""
    owner = org_for(request, org)
    model = model_for(owner, model_id)
    form = PlaygroundForm(request.POST, model=model)
    if not form.is_valid():
        return _page(request, model, form)
    try:
        check_quota(owner)
    except LimitReached as error:
        page = _page(request, model, form, refused=error.message)
        return _too_many(page, error.retry_after)
    columns = columns_of(form.cleaned_data["version"], form.cleaned_data["other"])
    answers = answer_all(columns, form.question, owner=str(owner.id))
    count_answers(model, answers)
    turns = dump_turns(turns_after(answers, form.question))
    return _page(request, model, form, answers=answers, turns=turns)


@login_required
@require_POST
def playground_stream(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponseBase:
    """Stream the answers; a refusal is a fragment that says why."""
    owner = org_for(request, org)
    model = model_for(owner, model_id)
    form = PlaygroundForm(request.POST, model=model)
    if not form.is_valid():
        return render(request, "models_app/_answers.html", {"form": form}, status=422)
    try:
        check_quota(owner)
    except LimitReached as error:
        return _refused(request, error.message, error.retry_after)
    give_back = SLOTS.take(owner.id)
    if give_back is None:
        return _refused(request, TOO_MANY, RETRY_AFTER_SECONDS)
    columns = columns_of(form.cleaned_data["version"], form.cleaned_data["other"])
    conversation = Conversation(columns, form.question, str(owner.id), PAGE_HEARTBEAT_SECONDS)
    stream = AnswerStream(_events(request, model, conversation), give_back)
    response = StreamingHttpResponse(stream, content_type="text/event-stream; charset=utf-8")
    response["Cache-Control"] = "no-cache, no-transform"
    response["X-Accel-Buffering"] = "no"  # nginx would keep events back
    return response


class AnswerStream(EventStream):
    """Closed when its reader has gone: then nobody needs the rest of the answers."""

    def close(self) -> None:
        self._chunks.close()  # type: ignore[attr-defined]
        super().close()


def _events(
    request: HttpRequest, model: CustomModel, conversation: Conversation
) -> Iterator[bytes]:
    """`begin` has the columns, `piece` a column's next text, `answer` a column that is done, `end`
    the turns so far.
    """
    waiting = [Answer(column, conversation.question) for column in conversation.columns]
    yield _event("begin", html=_html(request, model, "_answers", answers=waiting))
    try:
        yield from _spoken(request, model, conversation)
    finally:
        count_conversation(model, conversation)
    yield _event("end", turns=dump_turns(turns_after(conversation.answers, conversation.question)))


def _spoken(
    request: HttpRequest, model: CustomModel, conversation: Conversation
) -> Iterator[bytes]:
    with closing(iter(conversation)) as messages:  # type: ignore[type-var]
        for message in messages:
            if message is None:
                yield b": still here\n\n"
                continue
            column, part = message
            if isinstance(part, Answer):
                html = _html(request, model, "_answer", answer=part)
                yield _event("answer", column=column.name, html=html)
            else:
                yield _event("piece", column=column.name, text=part)


def _refused(request: HttpRequest, message: str, retry_after: int) -> HttpResponse:
    fragment = render(request, "models_app/_answers.html", {"refused": message})
    return _too_many(fragment, retry_after)


def _too_many(response: HttpResponse, retry_after: int) -> HttpResponse:
    response.status_code = 429
    response["Retry-After"] = str(retry_after)
    return response


def _html(request: HttpRequest, model: CustomModel, part: str, **context: Any) -> str:
    return render_to_string(f"models_app/{part}.html", {"model": model, **context}, request)


def _event(kind: str, **data: str) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _page(
    request: HttpRequest,
    model: CustomModel,
    form: PlaygroundForm,
    *,
    server_is_up: bool = True,
    **context: Any,
) -> HttpResponse:
    context |= {"model": model, "form": form, "server_is_up": server_is_up}
    return render(request, "models_app/playground.html", context)
