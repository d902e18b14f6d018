"""/api/v1/models/{id}/hub-searches and hub-imports: data of the hub, for one model."""

import uuid
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_org, request_user
from distillation.hub import serializers
from distillation.hub import services as hub
from distillation.hub.access import hub_import_for, hub_search_for
from distillation.hub.candidates import Plan
from distillation.models import HubImport, HubSearch
from models_app.access import model_for
from models_app.api.idempotency import made_once
from models_app.api.shapes import IDEMPOTENCY_KEY, valid


class HubSearchesView(generics.ListAPIView[HubSearch]):
    """Searches of the hub for this model, newest first."""

    serializer_class = serializers.HubSearchSerializer

    def get_queryset(self) -> QuerySet[HubSearch]:
        model = model_for(request_org(self.request), self.kwargs["model_id"])
        found: QuerySet[HubSearch] = model.hub_searches.select_related("job")
        return found

    @extend_schema(
        request=None,
        responses={201: serializers.HubSearchSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, model_id: uuid.UUID) -> Response:
        """Search the hub: a job. Words of the requirement go to the hub; no row is stored."""
        return made_once(request, lambda: self._search(request, model_id), said={})

    def _search(self, request: Request, model_id: uuid.UUID) -> dict[str, Any]:
        model = model_for(request_org(request), model_id)
        search = hub.submit_search(actor=request_user(request), model=model)
        return serializers.HubSearchSerializer(search).data


class HubSearchView(APIView):
    @extend_schema(responses=serializers.HubSearchSerializer)
    def get(self, request: Request, model_id: uuid.UUID, search_id: uuid.UUID) -> Response:
        search = hub_search_for(model_for(request_org(request), model_id), search_id)
        return Response(serializers.HubSearchSerializer(search).data)


class HubImportsView(generics.ListAPIView[HubImport]):
    """Imports from the hub for this model, newest first."""

    serializer_class = serializers.HubImportSerializer

    def get_queryset(self) -> QuerySet[HubImport]:
        model = model_for(request_org(self.request), self.kwargs["model_id"])
        found: QuerySet[HubImport] = model.hub_imports.select_related("run__job")
        return found

    @extend_schema(
        request=serializers.HubImportDraftSerializer,
        responses={201: serializers.HubImportSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, model_id: uuid.UUID) -> Response:
        """Import rows of one revision, as the licence policy lets: a job. The model uses them from
        its next build on.
        """
        return made_once(request, lambda: self._import(request, model_id), said=request.data)

    def _import(self, request: Request, model_id: uuid.UUID) -> dict[str, Any]:
        model = model_for(request_org(request), model_id)
        said = valid(serializers.HubImportDraftSerializer(data=request.data))
        wanted = {name: said.pop(name) for name in ("repo_id", "revision")}
        hub_import = hub.submit_import(
            actor=request_user(request), model=model, plan=Plan(**said), **wanted
        )
        return serializers.HubImportSerializer(hub_import).data


class HubImportView(APIView):
    @extend_schema(responses=serializers.HubImportSerializer)
    def get(self, request: Request, model_id: uuid.UUID, hub_import_id: uuid.UUID) -> Response:
        hub_import = hub_import_for(model_for(request_org(request), model_id), hub_import_id)
        return Response(serializers.HubImportSerializer(hub_import).data)
