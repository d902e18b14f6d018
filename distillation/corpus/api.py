"""/api/v1/sources."""

import uuid

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_membership, request_org
from accounts.models import Role
from distillation.access import own_source_for, source_for
from distillation.corpus import serializers
from distillation.corpus.deletion import delete_source, use_of
from distillation.corpus.quality import source_quality
from distillation.models import SourceDataset
from modelstation.core.web.api import NewestFirstPagination, error_body

CONFIRM = OpenApiParameter("confirm", OpenApiTypes.BOOL, description="Needed to delete.")
CONFIRM_HINT = "Send it again with ?confirm=true. The datasets keep their rows."


class SourcesPagination(NewestFirstPagination):
    ordering = ("name", "id")


class SourcesView(generics.ListAPIView[SourceDataset]):
    """The public sources, and the organisation's own."""

    serializer_class = serializers.SourceSerializer
    pagination_class = SourcesPagination

    def get_queryset(self) -> QuerySet[SourceDataset]:
        return SourceDataset.objects.visible_to(request_org(self.request))


class SourceView(APIView):
    @extend_schema(responses=serializers.SourceSerializer)
    def get(self, request: Request, source_id: uuid.UUID) -> Response:
        source = source_for(request_org(request), source_id)
        return Response(serializers.SourceSerializer(source).data)

    @extend_schema(
        parameters=[CONFIRM], responses={204: None, 409: serializers.SourceInUseSerializer}
    )
    def delete(self, request: Request, source_id: uuid.UUID) -> Response:
        """Delete an own source with its rows. Datasets made with it stay.

        Without `confirm=true` nothing happens: the answer names those datasets and versions."""
        caller = request_membership(request, role=Role.ADMIN)
        source = own_source_for(caller.org, source_id)
        if request.query_params.get("confirm") != "true":
            use = use_of(source)
            body = error_body(
                "confirmation_needed", use.summary, param="confirm", hint=CONFIRM_HINT
            )
            used_by = serializers.SourceUseSerializer(use).data
            return Response(body | {"used_by": used_by}, status=status.HTTP_409_CONFLICT)
        delete_source(actor=caller.user, source=source)
        return Response(status=status.HTTP_204_NO_CONTENT)


class SourceQualityView(APIView):
    @extend_schema(responses=serializers.SourceQualitySerializer)
    def get(self, request: Request, source_id: uuid.UUID) -> Response:
        """Show what is doubtful: flags over all rows, the rest over the first 2,000 by hash."""
        source = source_for(request_org(request), source_id)
        return Response(serializers.SourceQualitySerializer(source_quality(source)).data)
