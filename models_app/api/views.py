"""/api/v1/models and versions: each view translates HTTP for one door and one service."""

import uuid

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_org
from models_app.access import model_for, version_for
from models_app.api import serializers
from models_app.models import ModelVersion
from modelstation.core.jobs.events import Story, stream_response
from modelstation.core.web.api import number_of, page_size_of
from modelstation.core.web.event_api import (
    EVENTS_A_PAGE,
    LAST_EVENT_ID,
    LIMIT,
    MOST_EVENTS,
    STREAM,
    STREAM_HELP,
    AnyAccept,
)

AFTER = OpenApiParameter("after", OpenApiTypes.INT, description="Only events with a greater id.")


class ModelEventsView(APIView):
    @extend_schema(parameters=[AFTER, LIMIT], responses=serializers.EventSerializer(many=True))
    def get(self, request: Request, model_id: uuid.UUID) -> Response:
        """Return 500 events of the model's jobs, oldest first: go on `after` the last id."""
        model = model_for(request_org(request), model_id)
        limit = page_size_of(request, EVENTS_A_PAGE, most=MOST_EVENTS)
        events = Story(subject_id=model.id).after(number_of(request, "after", 0), limit)
        return Response(serializers.EventSerializer(events, many=True).data)


class ModelStreamView(APIView):
    content_negotiation_class = AnyAccept

    @extend_schema(parameters=[AFTER, LAST_EVENT_ID], responses=STREAM, description=STREAM_HELP)
    def get(self, request: Request, model_id: uuid.UUID) -> HttpResponseBase:
        org = request_org(request)
        story = Story(subject_id=model_for(org, model_id).id)
        return stream_response(request._request, story, owner=org.id)


class ModelVersionsView(generics.ListAPIView[ModelVersion]):
    serializer_class = serializers.VersionSerializer

    def get_queryset(self) -> QuerySet[ModelVersion]:
        model = model_for(request_org(self.request), self.kwargs["model_id"])
        versions: QuerySet[ModelVersion] = model.versions.select_related("model")
        return versions


class VersionView(APIView):
    @extend_schema(responses=serializers.VersionSerializer)
    def get(self, request: Request, version_id: uuid.UUID) -> Response:
        version = version_for(request_org(request), version_id)
        return Response(serializers.VersionSerializer(version).data)
