"""/v1/files"""

from typing import Any

from django.http import FileResponse, HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.authentication import request_org, request_user
from distillation.imports.uploads import ReceivedFile, receive_on_disk
from models_app.api.idempotency import made_once
from models_app.api.shapes import IDEMPOTENCY_KEY
from models_app.gateway.views import OpenAIView
from modelstation.core.web.api import limit_of
from modelstation.core.web.event_api import AnyAccept
from training.access import file_for
from training.finetuning import files as services
from training.finetuning.api import serializers
from training.finetuning.api.paging import AFTER, LIMIT, ORDER, order_of, page_of, rows_after
from training.finetuning.api.requests import FileUploadSerializer
from training.finetuning.api.shapes import file_shape
from training.finetuning.ids import FILE, uuid_of
from training.models import UploadedFile

PURPOSE = OpenApiParameter("purpose", OpenApiTypes.STR, enum=UploadedFile.Purpose.values)
FILES_A_PAGE, MOST_FILES = 1_000, 10_000


class FilesView(OpenAIView):
    parser_classes = [MultiPartParser]

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        receive_on_disk(request)
        return super().initialize_request(request, *args, **kwargs)

    @extend_schema(
        operation_id="openai_files",
        parameters=[PURPOSE, AFTER, LIMIT, ORDER],
        responses=serializers.OpenAIFileListSerializer,
    )
    def get(self, request: Request) -> Response:
        """List the organisation's files, newest first."""
        files = UploadedFile.objects.for_org(request_org(request)).defer("problems", "notes")
        if purpose := request.query_params.get("purpose"):
            known = purpose in UploadedFile.Purpose.values  # OpenAI has more: none of them is here
            files = files.filter(purpose=purpose) if known else files.none()
        matches = rows_after(
            files, request, lambda name: uuid_of(name, FILE), order=order_of(request)
        )
        limit = limit_of(request, FILES_A_PAGE, most=MOST_FILES)
        return Response(
            page_of(matches, limit, lambda rows: [file_shape(row, whole=False) for row in rows])
        )

    @extend_schema(
        operation_id="openai_file_create",
        request={"multipart/form-data": FileUploadSerializer},
        responses=serializers.OpenAIFileSerializer,
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request) -> Response:
        """Upload rows to train on. Every row is looked at; what is wrong is in `status_details`,
        and row by row under `modelstation`.
        """
        org = request_org(request)
        upload = FileUploadSerializer(data=request.data)
        upload.is_valid(raise_exception=True)
        file = upload.validated_data["file"]
        assert isinstance(file, ReceivedFile)

        def keep() -> dict[str, Any]:
            return file_shape(services.keep_upload(actor=request_user(request), org=org, file=file))

        return made_once(request, keep, said=[file.name, file.sha256.hexdigest()], code=200)


class FileView(OpenAIView):
    @extend_schema(operation_id="openai_file", responses=serializers.OpenAIFileSerializer)
    def get(self, request: Request, file_id: str) -> Response:
        return Response(file_shape(file_for(request_org(request), file_id)))

    @extend_schema(
        operation_id="openai_file_delete", responses={200: serializers.OpenAIDeletedSerializer}
    )
    def delete(self, request: Request, file_id: str) -> Response:
        """Delete the file. What was trained on it stays, with its rows."""
        file = file_for(request_org(request), file_id)
        services.delete_file(actor=request_user(request), file=file)
        return Response({"id": file_id, "object": "file", "deleted": True})


class FileContentView(OpenAIView):
    content_negotiation_class = AnyAccept

    @extend_schema(
        operation_id="openai_file_content",
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, file_id: str) -> HttpResponseBase:
        """Return the file, byte for byte."""
        file = file_for(request_org(request), file_id)
        return _sent(services.path_of(file), file.filename)


class FileProblemsView(OpenAIView):
    content_negotiation_class = AnyAccept

    @extend_schema(
        operation_id="openai_file_problems",
        responses={(200, "application/jsonl"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, file_id: str) -> HttpResponseBase:
        """Every row that is no use: line, field, code, message and hint; an addition of ours."""
        file = file_for(request_org(request), file_id)
        name = f"{file.filename}-problems.jsonl"
        return _sent(services.problems_path_of(file), name, "application/jsonl")


def _sent(path: Any, name: str, content_type: str = "application/octet-stream") -> HttpResponseBase:
    if not path.is_file():
        raise exceptions.NotFound("Its bytes are no longer on the disk.", code="not_found")
    return FileResponse(
        path.open("rb"), as_attachment=True, filename=name, content_type=content_type
    )
