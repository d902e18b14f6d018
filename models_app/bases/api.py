"""/api/v1/bases: what can be built on, and fetching what is not here yet."""

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_membership, request_org
from accounts.models import Role
from models_app.api.serializers import ModelDraftSerializer
from models_app.api.shapes import valid
from models_app.bases.fetching import cancel_fetch, submit_fetch
from models_app.bases.recommending import recommended
from models_app.drafts import ModelDraft
from models_app.models import BaseFetch, FoundationModel
from modelstation.core.web.api import NewestFirstPagination


class BaseSerializer(serializers.ModelSerializer[FoundationModel]):
    """`download_bytes` and `served_bytes` are near figures."""

    class Meta:
        model = FoundationModel
        fields = [
            "name", "hub_id", "revision", "license", "parameters", "context", "architecture",
            "download_bytes", "served_bytes", "suits", "is_installed",
        ]  # fmt: skip


class BaseFetchSerializer(serializers.ModelSerializer[BaseFetch]):
    """`state` is the job's; bytes are those of the stage that runs."""

    state = serializers.CharField(source="job.state", default="")
    stage = serializers.CharField(source="job.stage", default="")
    bytes_done = serializers.IntegerField(source="job.progress.step", default=0)
    bytes_total = serializers.IntegerField(source="job.progress.total_steps", default=0)
    error_code = serializers.CharField(source="job.error_code", default="")
    error = serializers.CharField(source="job.error_text", default="")

    class Meta:
        model = BaseFetch
        fields = [
            "id", "base", "state", "stage", "bytes_done", "bytes_total", "error_code", "error",
            "created_at",
        ]  # fmt: skip


class BasesPagination(NewestFirstPagination):
    ordering = ("parameters", "name")


class BasesView(generics.ListAPIView[FoundationModel]):
    """Models to start from. Only the installed ones can be built on."""

    serializer_class = BaseSerializer
    pagination_class = BasesPagination
    queryset = FoundationModel.objects.all()


class BaseFetchView(APIView):
    @extend_schema(responses=BaseFetchSerializer)
    def get(self, request: Request, name: str) -> Response:
        """Return the organisation's last fetch of this base."""
        return Response(BaseFetchSerializer(_last(request, name)).data)

    @extend_schema(request=None, responses={201: BaseFetchSerializer})
    def post(self, request: Request, name: str) -> Response:
        """Fetch the base from the hub, for all of the installation. Admins and owners may."""
        caller = request_membership(request, role=Role.ADMIN)
        fetch = submit_fetch(actor=caller.user, org=caller.org, name=name)
        return Response(BaseFetchSerializer(fetch).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=BaseFetchSerializer)
    def delete(self, request: Request, name: str) -> Response:
        """Stop the fetch; what has arrived is thrown away."""
        caller = request_membership(request, role=Role.ADMIN)
        cancel_fetch(actor=caller.user, fetch=_last(request, name))
        return Response(BaseFetchSerializer(_last(request, name)).data)


class RecommendationSerializer(serializers.Serializer[dict[str, Any]]):
    base = serializers.CharField()
    reason = serializers.CharField()
    is_installed = serializers.BooleanField()
    installed = serializers.CharField(help_text="The best of those here; empty: there is none.")


class RecommendationDraftSerializer(ModelDraftSerializer):
    """The body of a new model. Only the requirement is needed."""

    name = serializers.CharField(max_length=80, required=False, default="draft")


class RecommendationView(APIView):
    @extend_schema(request=RecommendationDraftSerializer, responses=RecommendationSerializer)
    def post(self, request: Request) -> Response:
        """Say which base suits this model, and why. Nothing is stored and nothing runs."""
        request_org(request)  # a token of some organisation is needed
        draft = valid(RecommendationDraftSerializer(data=request.data))
        advice = recommended(ModelDraft(**draft))
        shown = {
            "base": advice.base.name,
            "reason": advice.reason,
            "is_installed": advice.is_installed,
            "installed": advice.installed.name if advice.installed else "",
        }
        return Response(RecommendationSerializer(shown).data)


def _last(request: Request, name: str) -> BaseFetch:
    own = BaseFetch.objects.for_org(request_org(request)).filter(base_id=name)
    fetch: BaseFetch | None = own.select_related("job", "base", "org").first()
    if fetch is None:
        raise Http404
    return fetch
