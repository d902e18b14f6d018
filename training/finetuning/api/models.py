"""/v1/models/{name}: what is served under a name, and its deletion."""

from django.core.exceptions import PermissionDenied
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.authentication import request_org, request_user
from models_app.gateway.errors import ModelNotFound
from models_app.gateway.model_resolver import served_by
from models_app.gateway.views import OpenAIView, described, requested_model
from training.builds.removal import delete_named
from training.finetuning.api.serializers import OpenAIDeletedSerializer


class ServedModelView(OpenAIView):
    @extend_schema(operation_id="openai_model", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, name: str) -> Response:
        """Return one model that is served: its name, owner and when it was made."""
        return Response(described(requested_model(request, name)))

    @extend_schema(operation_id="openai_model_delete", responses={200: OpenAIDeletedSerializer})
    def delete(self, request: Request, name: str) -> Response:
        """Delete what is named: a slug its model with all versions, `slug:v3` and `ft:…` that
        version, and `…:ckpt-step-N` that checkpoint. What was live is served no longer.
        """
        org = request_org(request)
        if not delete_named(actor=request_user(request), org=org, name=name):
            if served_by(org, name):
                raise PermissionDenied("A base model belongs to the operator of this installation.")
            raise ModelNotFound(name)
        return Response({"id": name, "object": "model", "deleted": True})
