"""/v1: the surface that the unmodified `openai` client speaks. Only Bearer tokens open it."""

import time
import uuid
from contextlib import closing
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import TokenAuthentication, request_org
from accounts.models import ApiToken
from models_app.api.openai_chat import Chat, Pieces
from models_app.api.openai_deletion import ModelDeletion
from models_app.api.openai_errors import ModelNotFound, openai_exception_handler
from models_app.api.openai_requests import ChatRequestSerializer, conversation, generation_config
from models_app.served import Served, all_served, served_by
from models_app.serving import client
from models_app.serving.client import Completion, Piece


class OpenAIView(APIView):
    authentication_classes = [TokenAuthentication]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        started = time.monotonic()
        response = super().dispatch(request, *args, **kwargs)
        response["x-request-id"] = f"req_{uuid.uuid4().hex}"
        response["openai-processing-ms"] = str(round(1000 * (time.monotonic() - started)))
        return response

    def get_exception_handler(self) -> Any:
        return openai_exception_handler


class ChatCompletionsView(OpenAIView):
    @extend_schema(
        operation_id="openai_chat_completion",
        request=ChatRequestSerializer,
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Answer a conversation, at once or as a stream of server-sent events."""
        given = ChatRequestSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        asked = given.validated_data
        served = _served(request, asked["model"])
        assert isinstance(request.auth, ApiToken)
        include_usage = asked.get("stream_options", {}).get("include_usage", False)
        chat = Chat(served, request.auth, include_usage=include_usage)
        return _streamed(chat, asked) if asked["stream"] else _answered(chat, asked)


class ServedModelsView(OpenAIView):
    @extend_schema(operation_id="openai_models", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        """The organisation's published models, and the installed bases."""
        data = [_described(served) for served in all_served(request_org(request))]
        ends = (
            {"first_id": data[0]["id"], "last_id": data[-1]["id"]}
            if data
            else {"first_id": None, "last_id": None}
        )
        return Response({"object": "list", "data": data, "has_more": False} | ends)


class ServedModelView(ModelDeletion, OpenAIView):
    @extend_schema(operation_id="openai_model", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, name: str) -> Response:
        return Response(_described(_served(request, name)))


def _served(request: Request, name: str) -> Served:
    served = served_by(request_org(request), name)
    if served is None:
        raise ModelNotFound(name)
    return served


def _answered(chat: Chat, asked: dict[str, Any]) -> Response:
    messages = conversation(asked, chat.served.system_prompt)
    completion = client.generate(
        chat.served.gguf,
        chat.served.tokenizer_folder,
        messages,
        generation_config(asked),
        owner=str(chat.token.org_id),
    )
    chat.record(completion)
    return Response(chat.body(completion))


def _streamed(chat: Chat, asked: dict[str, Any]) -> StreamingHttpResponse:
    messages = conversation(asked, chat.served.system_prompt)
    pieces = client.stream(
        chat.served.gguf,
        chat.served.tokenizer_folder,
        messages,
        generation_config(asked),
        owner=str(chat.token.org_id),
    )
    first = next(pieces)  # a failure before the first piece still gets its status
    response = StreamingHttpResponse(
        chat.events(_again(first, pieces)), content_type="text/event-stream"
    )
    response["Cache-Control"] = "no-cache"
    response["X-Accel-Buffering"] = "no"  # a proxy must pass each piece on at once
    return response


def _again(first: Piece | Completion, pieces: Pieces) -> Pieces:
    with closing(pieces):  # type: ignore[type-var]
        yield first
        yield from pieces


def _described(served: Served) -> dict[str, Any]:
    created = int(served.created_at.timestamp()) if served.created_at else 0
    return {"id": served.name, "object": "model", "created": created, "owned_by": served.owner}
