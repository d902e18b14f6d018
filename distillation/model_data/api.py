"""/api/v1/models/<id>/data: where the rows of a model come from, and which it is to use."""

import uuid
from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_org, request_user
from accounts.models import User
from distillation.access import source_for
from distillation.model_data import services
from distillation.model_data.overview import data_overview
from distillation.model_data.serializers import ModelDataChangesSerializer, ModelDataSerializer
from models_app.access import model_for
from models_app.models import CustomModel


class ModelDataView(APIView):
    @extend_schema(responses=ModelDataSerializer)
    def get(self, request: Request, model_id: uuid.UUID) -> Response:
        """Rows found and missing per label or field, and each source in use."""
        return _shown(model_for(request_org(request), model_id))

    @extend_schema(request=ModelDataChangesSerializer, responses=ModelDataSerializer)
    def patch(self, request: Request, model_id: uuid.UUID) -> Response:
        """Choose sources for the next build, or leave them to the search; then call `rebuild`."""
        model = model_for(request_org(request), model_id)
        changes = ModelDataChangesSerializer(data=request.data)
        changes.is_valid(raise_exception=True)
        _change(request_user(request), model, changes.validated_data)
        return _shown(model_for(model.org, model_id))


def _change(actor: User, model: CustomModel, given: dict[str, Any]) -> None:
    used = [source_for(model.org, source_id) for source_id in given.get("use", [])]
    stopped = [source_for(model.org, source_id) for source_id in given.get("stop", [])]
    with transaction.atomic():
        for source in used:
            services.use_source(actor=actor, model=model, source=source)
        for source in stopped:
            services.stop_using(actor=actor, model=model, source=source)
        if "search_corpus" in given:
            wanted = given["search_corpus"]
            services.set_search_corpus(actor=actor, model=model, search_corpus=wanted)
        if "doubtful_rows" in given:
            services.set_doubtful_rows(
                actor=actor, model=model, doubtful_rows=given["doubtful_rows"]
            )


def _shown(model: CustomModel) -> Response:
    return Response(ModelDataSerializer(data_overview(model)).data)
