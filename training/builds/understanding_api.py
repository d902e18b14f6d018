"""/api/v1/intents: what is understood of a requirement, before anything is made of it."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_org
from distillation.pipeline.intent_facts import IntentFacts
from models_app.api.serializers import ModelDraftSerializer
from models_app.drafts import ModelDraft
from models_app.understanding import understood


class IntentDraftSerializer(ModelDraftSerializer):
    """The body of a new model, of which only the requirement is needed."""

    name = serializers.CharField(max_length=80, required=False, default="draft")


class ExplanationSerializer(serializers.Serializer[dict[str, str]]):
    what = serializers.CharField()
    sentence = serializers.CharField()


class QuerySerializer(serializers.Serializer[dict[str, str]]):
    text = serializers.CharField()
    origin = serializers.CharField(help_text="requirement, example input or example")


class IntentSerializer(serializers.Serializer[dict[str, Any]]):
    """What is understood, corrections included."""

    task_kind = serializers.CharField()
    labels = serializers.ListField(child=serializers.CharField())
    labels_closed = serializers.BooleanField(help_text="No label beyond these is allowed.")
    label_count = serializers.IntegerField(help_text="Labels that the words speak of, 0: unsaid.")
    json_keys = serializers.ListField(child=serializers.CharField())
    json_schema = serializers.DictField(allow_null=True)
    language = serializers.CharField(help_text="Of the inputs, ISO 639-1; empty: any.")
    answer_min_chars = serializers.IntegerField()
    answer_max_chars = serializers.IntegerField()
    system_prompt = serializers.CharField()
    queries = QuerySerializer(many=True)
    explanation = ExplanationSerializer(many=True)


class IntentsView(APIView):
    @extend_schema(request=IntentDraftSerializer, responses=IntentSerializer)
    def post(self, request: Request) -> Response:
        """Say what would be understood of this model. Nothing is stored and nothing runs."""
        request_org(request)  # a token of some organisation is needed
        given = IntentDraftSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        facts = IntentFacts.of(understood(ModelDraft(**given.validated_data))).to_json()
        return Response(IntentSerializer(facts).data)
