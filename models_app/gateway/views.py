"""/v1: the surface that the unmodified `openai` client speaks. Only Bearer tokens open it."""

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from typing import Any, ClassVar

from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import TokenAuthentication, request_org
from accounts.models import ApiToken
from models_app.gateway.answers import Pieces, Question
from models_app.gateway.chat import ChatReply
from models_app.gateway.errors import ModelNotFound, openai_exception_handler
from models_app.gateway.model_resolver import Served, all_served, served_by
from models_app.gateway.replies import Keep, Reply
from models_app.gateway.requests import (
    AnswerRequestSerializer,
    ChatRequestSerializer,
    TextRequestSerializer,
    chat_config,
    conversation,
    raw_prompts,
    text_config,
)
from models_app.gateway.shapes import (
    AnswerRequest,
    ChatRequest,
    Identified,
    ModelShape,
    TextRequest,
)
from models_app.gateway.stored.services import Keeping, keep
from models_app.gateway.texts import TextReply
from models_app.usage.metering import Allowance, LimitReached, Meter, admit
from modelstation.core.web.event_api import AnyAccept
from modelstation.core.web.parsers import SmallBodyParser

STORED_PARAMETERS = (
    "frequency_penalty", "presence_penalty", "seed", "temperature", "top_p",
)  # fmt: skip
VERSION = "2020-10-01"  # of OpenAI's API, as it calls itself

JSON, STREAM = (200, "application/json"), (200, "text/event-stream")
ANSWER = {JSON: OpenApiTypes.OBJECT, STREAM: OpenApiTypes.ANY}


class OpenAIView(APIView):
    """With the headers of OpenAI's answers, failures included."""

    authentication_classes = [TokenAuthentication]
    content_negotiation_class = AnyAccept  # a client of streams may accept nothing else
    allowance: Allowance | None = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        started = time.monotonic()
        response = super().dispatch(request, *args, **kwargs)
        response["x-request-id"] = f"req_{uuid.uuid4().hex}"
        response["openai-processing-ms"] = str(round(1000 * (time.monotonic() - started)))
        response["openai-version"] = VERSION
        if org := getattr(self.request, "org", None):
            response["openai-organization"] = org.slug
        for name, value in (self.allowance.headers() if self.allowance else {}).items():
            response[name] = value
        return response

    def get_exception_handler(self) -> Any:
        return openai_exception_handler


class AnswersView(OpenAIView, ABC):
    """A request for answers: admitted, read, put to a model."""

    parser_classes = [SmallBodyParser]
    prompt_param = "messages"  # what a failure calls that which the model was given
    # One for all requests, of which it keeps nothing: its fields take longer to make than to use.
    request_reader: ClassVar[AnswerRequestSerializer]

    def answer(self, request: Request) -> HttpResponseBase:
        assert isinstance(request.auth, ApiToken)
        try:
            self.allowance = admit(request.auth)
        except LimitReached as error:
            self.allowance = error.allowance
            raise
        wanted = self.request_reader.run_validation(request.data)
        meter = Meter(requested_model(request, wanted["model"]), request.auth)
        reply = self.reply(meter, wanted)
        return _streamed(reply) if wanted["stream"] else Response(reply.body())

    @abstractmethod
    def reply(self, meter: Meter, wanted: Any) -> Reply: ...


class ChatCompletionsView(AnswersView):
    request_reader = ChatRequestSerializer()

    @extend_schema(
        operation_id="openai_chat_completion", request=ChatRequestSerializer, responses=ANSWER
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Answer a conversation, at once or as a stream of server-sent events."""
        return self.answer(request)

    def reply(self, meter: Meter, wanted: ChatRequest) -> Reply:
        messages = conversation(wanted, meter.served.system_prompt)
        question = Question(meter, [messages], chat_config(wanted), wanted["n"])
        return ChatReply(question, _wants_usage(wanted), _keep(wanted))


class CompletionsView(AnswersView):
    request_reader = TextRequestSerializer()
    prompt_param = "prompt"

    @extend_schema(
        operation_id="openai_completion", request=TextRequestSerializer, responses=ANSWER
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Go on with a text, or several, as they stand: no chat template, no system prompt."""
        return self.answer(request)

    def reply(self, meter: Meter, wanted: TextRequest) -> Reply:
        question = Question(meter, raw_prompts(wanted), text_config(wanted), wanted["n"])
        return TextReply(question, _wants_usage(wanted))


class ServedModelsView(OpenAIView):
    @extend_schema(operation_id="openai_models", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        """List the organisation's published models, and the installed bases."""
        return list_response(map(described, all_served(request_org(request))))


def list_response(shapes: Iterable[Identified], *, has_more: bool = False) -> Response:
    data = list(shapes)
    ids: list[str | None] = [shape["id"] for shape in data] or [None]
    ends = {"first_id": ids[0], "last_id": ids[-1]}
    return Response({"object": "list", "data": data, "has_more": has_more, **ends})


def requested_model(request: Request, name: str) -> Served:
    """Return the model of this name that the token may use. Raise ModelNotFound."""
    # The token was let in as a member's: no need to ask again.
    org = request.auth.org if isinstance(request.auth, ApiToken) else request_org(request)
    served = served_by(org, name)
    if served is None:
        raise ModelNotFound(name)
    return served


def _wants_usage(wanted: AnswerRequest) -> bool:
    options = wanted.get("stream_options")
    return options is not None and options["include_usage"]


def _keep(wanted: ChatRequest) -> Keep | None:
    """Return what stores the answer of a request that wants it."""
    if not wanted.get("store"):
        return None
    parameters = {name: wanted[name] for name in STORED_PARAMETERS if name in wanted}  # type: ignore[literal-required]
    return partial(keep, Keeping(wanted.get("metadata") or {}, parameters))


def _streamed(reply: Reply) -> StreamingHttpResponse:
    pieces = reply.question.pieces()
    first = next(pieces)  # a failure before the first piece still gets its status
    events = reply.events(_again(first, pieces))
    response = StreamingHttpResponse(events, content_type="text/event-stream")
    response["Cache-Control"] = "no-cache"
    response["X-Accel-Buffering"] = "no"  # a proxy must pass each piece on at once
    return response


def _again(first: Any, pieces: Pieces) -> Pieces:
    with closing(pieces):
        yield first
        yield from pieces


def described(served: Served) -> ModelShape:
    created = int(served.created_at.timestamp()) if served.created_at else 0
    return {"id": served.name, "object": "model", "created": created, "owned_by": served.owner}
