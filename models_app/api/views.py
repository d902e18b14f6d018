"""/api/v1/models and versions: each view translates HTTP for one door and one service."""

import uuid
from functools import partial
from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_org, request_user
from models_app import services
from models_app.access import model_for, version_for
from models_app.api import serializers
from models_app.api.idempotency import made_once
from models_app.api.serializers import shown_model
from models_app.api.shapes import IDEMPOTENCY_KEY
from models_app.drafts import ModelDraft
from models_app.models import CustomModel, ModelVersion
from modelstation.core.errors import Conflict
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


class ModelsView(generics.ListAPIView[CustomModel]):
    serializer_class = serializers.ModelSummarySerializer

    def get_queryset(self) -> QuerySet[CustomModel]:
        shown = [field for field in self.serializer_class.Meta.fields if field != "live_version"]
        version = [
            f"live_version__{field}" for field in serializers.VersionSummarySerializer.Meta.fields
        ]
        models: QuerySet[CustomModel] = CustomModel.objects.for_org(request_org(self.request))
        return models.select_related("live_version").only("live_version", *shown, *version)

    @extend_schema(
        request=serializers.ModelDraftSerializer,
        responses={201: serializers.ModelSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request) -> Response:
        """Make a model; its work is enqueued with it, and its status is `pending`."""
        return made_once(
            request,
            partial(self._create, request),
            said=request.data,
            location=lambda body: body["links"]["self"],
        )

    def _create(self, request: Request) -> dict[str, Any]:
        asked = serializers.ModelDraftSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        draft = ModelDraft(**asked.validated_data)
        model = services.create_model(
            actor=request_user(request), org=request_org(request), draft=draft
        )
        return shown_model(model, request)


class ModelView(APIView):
    @extend_schema(responses=serializers.ModelSerializer)
    def get(self, request: Request, model_id: uuid.UUID) -> Response:
        return Response(shown_model(model_for(request_org(request), model_id), request))

    @extend_schema(
        request=serializers.ModelChangesSerializer, responses=serializers.ModelSerializer
    )
    def patch(self, request: Request, model_id: uuid.UUID) -> Response:
        """Edit the system prompt, the curation, or put right what was understood: the fields given
        are set, null takes a correction back. The next build goes by them; versions keep their own.
        """
        model = model_for(request_org(request), model_id)
        asked = serializers.ModelChangesSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        user, given = request_user(request), asked.validated_data
        prompt = given.get("system_prompt", "")
        if changes := given.get("intent_edits"):
            services.correct_intent(actor=user, model=model, changes=changes, system_prompt=prompt)
        elif prompt:
            services.edit_system_prompt(actor=user, model=model, system_prompt=prompt)
        if "curation" in given:
            services.set_curation(actor=user, model=model, curation=given["curation"])
        return Response(shown_model(model, request))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, model_id: uuid.UUID) -> Response:
        model = model_for(request_org(request), model_id)
        services.delete_model(actor=request_user(request), model=model)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ModelCancelView(APIView):
    @extend_schema(request=None, responses=serializers.ModelSerializer)
    def post(self, request: Request, model_id: uuid.UUID) -> Response:
        """Stop the build. Work that runs stops within seconds."""
        model = model_for(request_org(request), model_id)
        if not services.cancel_build(actor=request_user(request), model=model):
            raise Conflict("Nothing is being built for this model.", code="not_building")
        return Response(shown_model(model_for(model.org, model_id), request))


class ModelRebuildView(APIView):
    @extend_schema(request=None, responses=serializers.ModelSerializer)
    def post(self, request: Request, model_id: uuid.UUID) -> Response:
        """Build again from the requirement: a new dataset and a new version."""
        model = model_for(request_org(request), model_id)
        services.rebuild(actor=request_user(request), model=model)
        return Response(shown_model(model_for(model.org, model_id), request))


class ModelEventsView(APIView):
    @extend_schema(parameters=[AFTER, LIMIT], responses=serializers.EventSerializer(many=True))
    def get(self, request: Request, model_id: uuid.UUID) -> Response:
        """The story of the model's jobs, oldest first, 500 at a time: go on `after` the last id."""
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
