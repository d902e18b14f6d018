"""/api/v1/imports: an organisation's own data. A file is uploaded, looked at, and confirmed."""

import uuid
from functools import partial
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, generics
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.serializer_helpers import ReturnDict
from rest_framework.views import APIView

from accounts.api.authentication import request_org, request_user
from distillation.access import import_for
from distillation.imports import serializers, uploads
from distillation.imports import services as imports
from distillation.imports.services import ImportDraft, name_from_file
from distillation.models import ImportRun
from models_app.access import model_for
from models_app.api.idempotency import made_once
from modelstation.core.errors import Conflict

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The same key and file within a day get the same answer; with another file, 422.",
)
FORMAT = OpenApiParameter("format", OpenApiTypes.STR, enum=list(uploads.REJECTED_FORMATS))


class ImportsView(generics.ListAPIView[ImportRun]):
    """The organisation's imports, newest first."""

    serializer_class = serializers.ImportSummarySerializer
    parser_classes = [MultiPartParser]

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        uploads.receive_on_disk(request)
        return super().initialize_request(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[ImportRun]:
        return ImportRun.objects.filter(org=request_org(self.request)).defer("errors", "flags")

    @extend_schema(
        request={"multipart/form-data": serializers.UploadSerializer},
        responses={201: serializers.ImportSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request) -> Response:
        """Upload a file. Nothing of it is stored before it is confirmed: see its `preview`."""
        org = request_org(request)
        serializer = serializers.UploadSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        said = dict(serializer.validated_data)
        file = said.pop("file")
        model_id = said.pop("model", None)
        model = model_for(org, model_id) if model_id else None
        draft = ImportDraft(**{"source": name_from_file(file.name), **said})
        given = {"org": org, "file": file, "draft": draft, "model": model}
        upload = partial(imports.upload, actor=request_user(request), **given)
        request_body = [said, str(model_id or ""), file.sha256.hexdigest()]
        return made_once(request, lambda: _shown(upload()), said=request_body)


class ImportView(APIView):
    @extend_schema(responses=serializers.ImportSerializer)
    def get(self, request: Request, import_id: uuid.UUID) -> Response:
        return Response(_shown(import_for(request_org(request), import_id)))


class ImportConfirmView(APIView):
    @extend_schema(
        request=serializers.ImportDraftSerializer, responses=serializers.ImportSerializer
    )
    def post(self, request: Request, import_id: uuid.UUID) -> Response:
        """Load the rows, read as the upload said, or as this says where it says otherwise."""
        run = import_for(request_org(request), import_id)
        serializer = serializers.ImportDraftSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        draft = ImportDraft(**(run.options | serializer.validated_data))
        imports.confirm_import(actor=request_user(request), run=run, draft=draft)
        return Response(_shown(import_for(request_org(request), import_id)))


class ImportCancelView(APIView):
    @extend_schema(request=None, responses=serializers.ImportSerializer)
    def post(self, request: Request, import_id: uuid.UUID) -> Response:
        """Discard an upload, or stop its loading: nothing of it is kept."""
        run = import_for(request_org(request), import_id)
        if not imports.cancel_import(actor=request_user(request), run=run):
            raise Conflict("This import has ended already.", code="import_ended")
        return Response(_shown(import_for(request_org(request), import_id)))


class ImportRejectedView(APIView):
    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # `format` here is a file's, not DRF's.
        return super().perform_content_negotiation(request, force=True)

    @extend_schema(
        parameters=[FORMAT],
        responses={
            (200, "application/jsonl"): OpenApiTypes.BINARY,
            (200, "text/csv"): OpenApiTypes.BINARY,
        },
    )
    def get(self, request: Request, import_id: uuid.UUID) -> HttpResponseBase:
        """All rows that were left out: line, field, code, message, hint, and what stood there."""
        run = import_for(request_org(request), import_id)
        form = request.query_params.get("format", "jsonl")
        if form not in uploads.REJECTED_FORMATS:
            known = ", ".join(uploads.REJECTED_FORMATS)
            raise exceptions.ValidationError({"format": f"One of {known}."})
        return uploads.rejected_download(run, form)


def _shown(run: ImportRun) -> ReturnDict[str, Any]:
    return serializers.ImportSerializer(run).data
