"""/api/v1/models/{id}/contract and …/copy."""

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_org, request_user
from models_app.access import model_for
from models_app.api.serializers import ChangesSerializer, PairSerializer
from models_app.api.shapes import valid
from models_app.contract.services import contract_of, edit_contract
from models_app.models import CustomModel


class UnreadSerializer(serializers.Serializer[dict[str, str]]):
    sentence = serializers.CharField()
    hint = serializers.CharField(help_text="What to write instead.")


class ContractSerializer(serializers.Serializer[dict[str, Any]]):
    """The criteria and what they were compiled to: each check with its plain `words`. `digest` is
    the SHA-256 of it all, kept by every evaluation that judged by it.
    """

    model = serializers.UUIDField()
    is_frozen = serializers.BooleanField()
    frozen_at = serializers.DateTimeField(allow_null=True)
    digest = serializers.CharField()
    criteria = serializers.ListField(child=serializers.CharField())
    metric = serializers.CharField()
    is_metric_automatic = serializers.BooleanField()
    checks = serializers.ListField(child=serializers.DictField())
    unread = UnreadSerializer(many=True)
    needs = serializers.ListField(
        child=serializers.CharField(), help_text="How many held-out rows have to be right."
    )
    test_row_count = serializers.IntegerField(help_text="0: the dataset's frozen test split.")
    test_rows_sha256 = serializers.CharField(allow_blank=True)


class ContractChangesSerializer(ChangesSerializer):
    """What is left out stays as it is."""

    criteria = serializers.ListField(
        source="success_criteria",
        child=serializers.CharField(max_length=300),
        required=False,
        max_length=50,
    )
    metric = serializers.CharField(
        required=False, allow_blank=True, max_length=40, help_text="Empty: by the kind of task."
    )
    test_rows = PairSerializer(many=True, required=False)


class ModelContractView(APIView):
    @extend_schema(responses=ContractSerializer)
    def get(self, request: Request, model_id: uuid.UUID) -> Response:
        """Return the acceptance contract, as it is frozen, or as it would be now."""
        return _shown(model_for(request_org(request), model_id))

    @extend_schema(request=ContractChangesSerializer, responses=ContractSerializer)
    def put(self, request: Request, model_id: uuid.UUID) -> Response:
        """Change criteria, metric or held-out rows; 409 `contract_frozen` once data was touched."""
        model = model_for(request_org(request), model_id)
        changes = valid(ContractChangesSerializer(data=request.data))
        return _shown(edit_contract(actor=request_user(request), model=model, changes=changes))


def _shown(model: CustomModel) -> Response:
    contract = contract_of(model)
    shown = vars(contract) | {
        "model": model.id,
        "is_frozen": model.contract_frozen_at is not None,
        "frozen_at": model.contract_frozen_at,
        "criteria": contract.written,
        "is_metric_automatic": not model.metric,
        "test_row_count": contract.test_rows.get("count", 0),
        "test_rows_sha256": contract.test_rows.get("sha256", ""),
    }
    return Response(ContractSerializer(shown).data)
