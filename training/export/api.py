"""/api/v1/versions/{id}/exports and /api/v1/exports/{id}: one signed, resumable download of a
version's artifacts, and its way to the hub.
"""

import uuid
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
)
from rest_framework import generics, serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_membership, request_org, request_user
from accounts.models import Membership, Role, User
from distillation.pushes.api import JobStateSerializer, PushDraftSerializer
from models_app.access import version_for
from models_app.api.idempotency import made_once
from models_app.api.shapes import IDEMPOTENCY_KEY
from models_app.versions.ranges import file_response
from modelstation.core.web.api import StrictSerializer
from modelstation.core.web.event_api import AnyAccept
from training.access import export_for
from training.export import pushes as export_pushes
from training.export import services as exports
from training.export.bundle.artifacts import ARTIFACTS, SERVED_ARTIFACT
from training.export.bundle.bundle import public_key_hex
from training.export.links import export_by_token, link_path
from training.models import Export, ExportPush

ACCEPT = "accept_failed_certificate"
ACCEPT_HELP = "Needed where the parity certificate failed: 409 without it."


class ExportDraftSerializer(StrictSerializer):
    artifacts = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text=f"Of {', '.join(ARTIFACTS)}. Left out: the adapter, where there is one, "
        f"and {SERVED_ARTIFACT.name}.",
    )


class ExportSerializer(JobStateSerializer, serializers.ModelSerializer[Export]):
    """`state` is the job's. `url`, `sha256` and `certificate` are there once it succeeded.
    `url` works without a token, for some hours; read the export again for a new one. Where the
    certificate failed it answers 409 until `?accept_failed_certificate=true` is added.
    """

    artifacts = serializers.ListField(child=serializers.CharField())
    certificate = serializers.DictField()
    url = serializers.SerializerMethodField()

    class Meta:
        model = Export
        fields = [
            "id", "version", "artifacts", "state", "error_code", "error", "expected_bytes",
            "file_name", "file_bytes", "sha256", "url", "expires_at", "certificate",
            "created_at",
        ]  # fmt: skip

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_url(self, export: Export) -> str | None:
        if not export.is_there:
            return None
        path, request = link_path(export), self.context.get("request")
        return str(request.build_absolute_uri(path)) if request else path


class ExportDetailSerializer(ExportSerializer):
    """With the `manifest` that is signed: every file of the download and its SHA-256."""

    manifest = serializers.DictField()

    class Meta(ExportSerializer.Meta):
        fields = [*ExportSerializer.Meta.fields, "manifest"]


class SizeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    description = serializers.CharField(source="label")
    bytes = serializers.IntegerField()


class ExportSizesSerializer(serializers.Serializer[Any]):
    """About; the disk holds an export twice while it is made."""

    artifacts = SizeSerializer(many=True)
    free_bytes = serializers.IntegerField()


class VersionExportsView(generics.ListAPIView[Export]):
    serializer_class = ExportSerializer

    def get_queryset(self) -> QuerySet[Export]:
        version = version_for(request_org(self.request), self.kwargs["version_id"])
        exports: QuerySet[Export] = version.exports.select_related("job").defer("manifest")
        return exports

    @extend_schema(
        request=ExportDraftSerializer,
        responses={201: ExportDetailSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, version_id: uuid.UUID) -> Response:
        """Make a download: artifacts, parity certificate, card, Modelfile, client, signature."""
        return made_once(request, partial(_create, request, version_id), said=request.data)


def _create(request: Request, version_id: uuid.UUID) -> dict[str, Any]:
    version = version_for(request_org(request), version_id)
    draft = ExportDraftSerializer(data=request.data)
    draft.is_valid(raise_exception=True)
    export = exports.submit_export(
        actor=request_user(request), version=version, **draft.validated_data
    )
    shown = ExportDetailSerializer(export, context={"request": request}).data
    return {**shown, "id": str(export.pk), "version": str(version.pk)}


class ExportSizesView(APIView):
    @extend_schema(responses=ExportSizesSerializer)
    def get(self, request: Request, version_id: uuid.UUID) -> Response:
        """Return what each artifact of this version will take, before any is made."""
        version = version_for(request_org(request), version_id)
        facts = {"artifacts": exports.sizes_of(version), "free_bytes": exports.free_bytes()}
        return Response(ExportSizesSerializer(facts).data)


class ExportView(APIView):
    @extend_schema(responses=ExportDetailSerializer)
    def get(self, request: Request, export_id: uuid.UUID) -> Response:
        export = export_for(request_org(request), export_id)
        return Response(ExportDetailSerializer(export, context={"request": request}).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, export_id: uuid.UUID) -> Response:
        """Stop it, or delete its file; links to it are dead at once."""
        export = export_for(request_org(request), export_id)
        exports.delete_export(actor=request_user(request), export=export)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ExportPushDraftSerializer(PushDraftSerializer):
    """`token` is the hub's, for this push alone. Left out: the organisation's own."""

    token = serializers.CharField(max_length=500, required=False, write_only=True)


class ExportPushSerializer(JobStateSerializer, serializers.ModelSerializer[ExportPush]):
    """`state` is the job's. `url` and `commit` are there once it succeeded."""

    class Meta:
        model = ExportPush
        fields = [
            "id", "export", "repo_id", "is_private", "state", "error_code", "error", "url",
            "commit", "is_new_commit", "created_at",
        ]  # fmt: skip


class ExportPushesView(generics.ListAPIView[ExportPush]):
    serializer_class = ExportPushSerializer

    def get_queryset(self) -> QuerySet[ExportPush]:
        export = export_for(request_org(self.request), self.kwargs["export_id"])
        pushes: QuerySet[ExportPush] = export.pushes.select_related("job")
        return pushes

    @extend_schema(
        request=ExportPushDraftSerializer,
        responses={201: ExportPushSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, export_id: uuid.UUID) -> Response:
        """Push its files to a model repository of the hub, private unless `is_private` is false."""
        caller = request_membership(request, role=Role.ADMIN)
        return made_once(request, partial(_push, caller, request, export_id), said=request.data)


def _push(caller: Membership, request: Request, export_id: uuid.UUID) -> dict[str, Any]:
    export = export_for(caller.org, export_id)
    draft = ExportPushDraftSerializer(data=request.data)
    draft.is_valid(raise_exception=True)
    push = export_pushes.submit_push(actor=caller.user, export=export, **draft.validated_data)
    shown = ExportPushSerializer(push).data
    return {**shown, "id": str(push.pk), "export": str(export.pk)}


class SigningKeySerializer(serializers.Serializer[Any]):
    algorithm = serializers.CharField()
    public_key = serializers.CharField(help_text="Hexadecimal, for verify.py --key.")


class SigningKeyView(APIView):
    @extend_schema(responses=SigningKeySerializer)
    def get(self, request: Request) -> Response:
        """Return the key that every export of this installation is signed with."""
        key = public_key_hex(settings.EXPORT_SIGNING_KEY)
        return Response({"algorithm": "ed25519", "public_key": key})


class ExportDownloadView(APIView):
    """The link itself is the key: no login, no token."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = AnyAccept

    @extend_schema(
        auth=[],
        parameters=[OpenApiParameter(ACCEPT, bool, description=ACCEPT_HELP)],
        responses={
            (200, "application/zip"): OpenApiTypes.BINARY,
            (206, "application/zip"): OpenApiTypes.BINARY,
            416: OpenApiResponse(description="The range does not lie in the file."),
        },
    )
    def get(self, request: Request, token: str, name: str) -> HttpResponseBase:
        """Send the file, or the range of it that is requested: `curl -C - -O URL` goes on where it
        stopped.
        """
        export = export_by_token(token)
        user = get_user(request._request)  # of the browser: DRF authenticates nobody here
        from_start = request.headers.get("Range", "bytes=0-").strip().startswith("bytes=0-")
        exports.check_accepted(
            export,
            actor=user if isinstance(user, User) else None,
            accepted=request.query_params.get(ACCEPT, "").lower() in ("true", "1", "on"),
            begins=request.method == "GET" and from_start,
        )
        return file_response(
            request._request,
            exports.file_of(export),
            name=export.file_name,
            etag=export.sha256,
            content_type="application/zip",
        )
