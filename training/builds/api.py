"""/api/v1/models: what creates a model, and what starts or ends its builds."""

import uuid
from functools import partial
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_org, request_user
from distillation.access import dataset_for
from distillation.datasets.serializers import DatasetSerializer
from models_app.access import model_for
from models_app.api.idempotency import made_once
from models_app.api.serializers import (
    ModelChangesSerializer,
    ModelSerializer,
    ModelSummarySerializer,
    VersionSummarySerializer,
    shown_model,
)
from models_app.api.shapes import IDEMPOTENCY_KEY
from models_app.drafts import ModelDraft
from models_app.models import CustomModel
from models_app.services import edit_system_prompt, set_curation, set_student
from modelstation.core.errors import Conflict
from training.builds import services
from training.builds.understanding_api import NeedsConfirmationSerializer, NewModelSerializer


class ModelsView(generics.ListAPIView[CustomModel]):
    serializer_class = ModelSummarySerializer

    def get_queryset(self) -> QuerySet[CustomModel]:
        shown = [field for field in self.serializer_class.Meta.fields if field != "live_version"]
        version = [f"live_version__{field}" for field in VersionSummarySerializer.Meta.fields]
        models: QuerySet[CustomModel] = CustomModel.objects.for_org(request_org(self.request))
        return models.select_related("live_version").only("live_version", *shown, *version)

    @extend_schema(
        request=NewModelSerializer,
        responses={201: ModelSerializer, 409: NeedsConfirmationSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request) -> Response:
        """Make a model; its work is enqueued with it, and its status is `pending`.

        Where the requirement leaves in doubt what is wanted, the answer is 409 `needs_confirmation`
        with `questions`: send the `intent_edits` of a choice of each, or `confirm: true`.
        """
        return made_once(
            request,
            partial(self._create, request),
            said=request.data,
            location=lambda body: body["links"]["self"],
        )

    def _create(self, request: Request) -> dict[str, Any]:
        given = NewModelSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        confirmed = given.validated_data.pop("confirm")
        draft = ModelDraft(**given.validated_data)
        model = services.create_model(
            actor=request_user(request),
            org=request_org(request),
            draft=draft,
            confirmed=confirmed,
        )
        return shown_model(model, request)


class ModelView(APIView):
    @extend_schema(responses=ModelSerializer)
    def get(self, request: Request, model_id: uuid.UUID) -> Response:
        return Response(shown_model(model_for(request_org(request), model_id), request))

    @extend_schema(request=ModelChangesSerializer, responses=ModelSerializer)
    def patch(self, request: Request, model_id: uuid.UUID) -> Response:
        """Edit system prompt, curation, student, or correct what was understood: the fields given
        are set, null takes a correction back. The next build goes by them; versions keep their own.
        Name, requirement, objective, policy and examples change until there is a version (409).
        """
        model = model_for(request_org(request), model_id)
        changed = ModelChangesSerializer(data=request.data)
        changed.is_valid(raise_exception=True)
        user, given = request_user(request), changed.validated_data
        if draft := {name: given[name] for name in services.DRAFT_FIELDS if name in given}:
            model = services.edit_draft(actor=user, model=model, changes=draft)
        prompt = given.get("system_prompt", "")
        if changes := given.get("intent_edits"):
            services.correct_intent(actor=user, model=model, changes=changes, system_prompt=prompt)
        elif prompt:
            edit_system_prompt(actor=user, model=model, system_prompt=prompt)
        if "curation" in given:
            set_curation(actor=user, model=model, curation=given["curation"])
        if "student" in given:
            set_student(actor=user, model=model, student=given["student"])
        return Response(shown_model(model, request))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, model_id: uuid.UUID) -> Response:
        model = model_for(request_org(request), model_id)
        services.delete_model(actor=request_user(request), model=model)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ModelCancelView(APIView):
    @extend_schema(request=None, responses=ModelSerializer)
    def post(self, request: Request, model_id: uuid.UUID) -> Response:
        """Stop the build. Work that runs stops within seconds."""
        model = model_for(request_org(request), model_id)
        if not services.cancel_build(actor=request_user(request), model=model):
            raise Conflict("Nothing is being built for this model.", code="not_building")
        return Response(shown_model(model_for(model.org, model_id), request))


class ModelRebuildView(APIView):
    @extend_schema(request=None, responses=ModelSerializer)
    def post(self, request: Request, model_id: uuid.UUID) -> Response:
        """Build again from the requirement: a new dataset and a new version."""
        model = model_for(request_org(request), model_id)
        services.rebuild(actor=request_user(request), model=model)
        return Response(shown_model(model_for(model.org, model_id), request))


class ModelCopyView(APIView):
    @extend_schema(request=None, responses={201: ModelSerializer}, parameters=[IDEMPOTENCY_KEY])
    def post(self, request: Request, model_id: uuid.UUID) -> Response:
        """Make a new model that keeps everything but data and versions; its contract is open, and
        nothing is built before `rebuild` is called.
        """
        model = model_for(request_org(request), model_id)
        copy = partial(self._copy, request, model)
        return made_once(request, copy, said=None, location=lambda body: body["links"]["self"])

    def _copy(self, request: Request, model: CustomModel) -> dict[str, Any]:
        copy = services.copy_model(actor=request_user(request), model=model)
        return shown_model(copy, request)


class DatasetFreezeView(APIView):
    @extend_schema(request=None, responses=DatasetSerializer)
    def post(self, request: Request, dataset_id: uuid.UUID) -> Response:
        """Freeze a draft: its kept rows are written as files, and training begins."""
        org = request_org(request)
        dataset = dataset_for(org, dataset_id)
        services.freeze_and_train(actor=request_user(request), version=dataset)
        return Response(DatasetSerializer(dataset_for(org, dataset_id)).data)
