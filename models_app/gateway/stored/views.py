"""/v1/chat/completions as OpenAI has it for what was stored: list, read, label, delete."""

import re
from collections.abc import Mapping
from typing import Any

from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.authentication import request_org, request_user
from models_app.gateway.requests import MetadataField
from models_app.gateway.shapes import StoredMessage, StoredShape
from models_app.gateway.stored.rows import ID_CHARS, StoredCompletion
from models_app.gateway.stored.services import delete_stored, set_metadata
from models_app.gateway.views import ChatCompletionsView, OpenAIView, list_response
from modelstation.core.web.api import Choice
from modelstation.core.web.parsers import SmallBodyParser

MOST_LISTED, LISTED = 100, 20
METADATA_QUERY = re.compile(r"metadata\[([^\]]{1,64})\]")
TEXT = OpenApiTypes.STR
PAGE = [OpenApiParameter("after", TEXT), OpenApiParameter("limit", OpenApiTypes.INT)]
PAGE += [OpenApiParameter("order", TEXT, enum=["asc", "desc"])]
FILTERS = [OpenApiParameter("model", TEXT), OpenApiParameter("metadata", OpenApiTypes.OBJECT)]


class PageQuery(serializers.Serializer[Any]):
    after = serializers.CharField(required=False, max_length=ID_CHARS + 16)
    limit = serializers.IntegerField(min_value=1, max_value=MOST_LISTED, default=LISTED)
    order = Choice(("asc", "desc"), default="asc")


class ListQuery(PageQuery):
    model = serializers.CharField(required=False, max_length=200)


class MetadataSerializer(serializers.Serializer[Any]):
    metadata = MetadataField(allow_null=True)


def stored_for(request: Request, completion_id: str) -> StoredCompletion:
    own = StoredCompletion.objects.for_org(request_org(request)).select_related("org")
    found: StoredCompletion = get_object_or_404(own, completion_id=completion_id.replace("\0", ""))
    return found


class ChatView(ChatCompletionsView):
    """Answer a conversation; list those that were stored."""

    @extend_schema(
        operation_id="openai_stored_completions",
        parameters=[*FILTERS, *PAGE],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        """List what was stored, the oldest first unless `order` says otherwise."""
        query = _valid(ListQuery(data=request.query_params))
        rows = StoredCompletion.objects.for_org(request_org(request))
        if name := query.get("model"):
            rows = rows.filter(name=name.replace("\0", ""))
        if metadata := metadata_of(request.query_params):
            rows = rows.filter(metadata__contains=metadata)
        page, has_more = _page(rows, query)
        return list_response(map(shape, page), has_more=has_more)


class StoredCompletionView(OpenAIView):
    parser_classes = [SmallBodyParser]

    @extend_schema(operation_id="openai_stored_completion", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, completion_id: str) -> Response:
        return Response(shape(stored_for(request, completion_id)))

    @extend_schema(
        operation_id="openai_stored_completion_update",
        request=MetadataSerializer,
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request, completion_id: str) -> Response:
        """Give it other metadata; nothing else of it can be changed."""
        stored = stored_for(request, completion_id)
        metadata = _valid(MetadataSerializer(data=request.data))["metadata"] or {}
        return Response(shape(set_metadata(stored=stored, metadata=metadata)))

    @extend_schema(
        operation_id="openai_stored_completion_delete", responses={200: OpenApiTypes.OBJECT}
    )
    def delete(self, request: Request, completion_id: str) -> Response:
        stored = stored_for(request, completion_id)
        delete_stored(actor=request_user(request), stored=stored)
        said = {"id": completion_id, "object": "chat.completion.deleted", "deleted": True}
        return Response(said)


class StoredMessagesView(OpenAIView):
    @extend_schema(
        operation_id="openai_stored_completion_messages",
        parameters=PAGE,
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, completion_id: str) -> Response:
        """List what was asked."""
        stored = stored_for(request, completion_id)
        query = _valid(PageQuery(data=request.query_params))
        messages = [_message(stored, number) for number in range(len(stored.messages))]
        if query["order"] == "desc":
            messages.reverse()
        ids = [message["id"] for message in messages]
        start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
        page = messages[start : start + query["limit"]]
        return list_response(page, has_more=start + query["limit"] < len(messages))


def shape(stored: StoredCompletion) -> StoredShape:
    return {
        "id": stored.completion_id,
        "object": "chat.completion",
        "created": int(stored.created_at.timestamp()),
        "model": stored.name,
        "choices": stored.choices,
        "usage": stored.usage,
        "metadata": stored.metadata,
        **stored.parameters,
    }  # type: ignore[typeddict-item]


def metadata_of(query: Mapping[str, Any]) -> dict[str, str]:
    """Return the pairs of `metadata[key]=value`, as the clients of OpenAI write them."""
    matches = {
        match[1]: str(query[key]) for key in query if (match := METADATA_QUERY.fullmatch(key))
    }
    return {key.replace("\0", ""): value.replace("\0", "") for key, value in matches.items()}


def _page(
    rows: QuerySet[StoredCompletion], query: Mapping[str, Any]
) -> tuple[list[StoredCompletion], bool]:
    is_rising = query["order"] == "asc"
    if after := query.get("after"):
        last = get_object_or_404(rows, completion_id=after.replace("\0", ""))
        way = "gt" if is_rising else "lt"
        behind = Q(**{f"created_at__{way}": last.created_at})
        behind |= Q(**{"created_at": last.created_at, f"id__{way}": last.id})
        rows = rows.filter(behind)
    order = ("created_at", "id") if is_rising else ("-created_at", "-id")
    page = list(rows.order_by(*order)[: query["limit"] + 1])
    return page[: query["limit"]], len(page) > query["limit"]


def _message(stored: StoredCompletion, number: int) -> StoredMessage:
    turn = stored.messages[number]
    return {
        "id": f"{stored.completion_id}-{number}",
        "role": turn["role"],
        "content": turn["content"],
        "name": None,
        "content_parts": None,
    }


def _valid(serializer: serializers.Serializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
