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
    label_descriptions = serializers.DictField(child=serializers.CharField())
    examples_outside = serializers.ListField(
        child=serializers.CharField(),
        help_text="Answers of your examples that are none of the labels.",
    )
    queries = QuerySerializer(many=True)
    explanation = ExplanationSerializer(many=True)


class ChoiceSerializer(serializers.Serializer[Any]):
    """One answer to a question. Without `intent_edits`, the right value is to be given by hand."""

    text = serializers.CharField()
    intent_edits = serializers.DictField()


class QuestionSerializer(serializers.Serializer[Any]):
    """What is in doubt. The first choice is what was understood."""

    field = serializers.CharField(help_text="Of intent_edits.")  # type: ignore[assignment]
    sentence = serializers.CharField()
    choices = ChoiceSerializer(many=True)


class AskedIntentSerializer(IntentSerializer):
    questions = QuestionSerializer(many=True, help_text="Empty: a build would not ask.")


class NewModelSerializer(ModelDraftSerializer):
    confirm = serializers.BooleanField(
        default=False, help_text="Build from what is understood, whatever is in doubt."
    )


class _ErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()
    param = serializers.CharField()
    hint = serializers.CharField()
    questions = QuestionSerializer(many=True)


class NeedsConfirmationSerializer(serializers.Serializer[Any]):
    error = _ErrorSerializer()


class IntentsView(APIView):
    @extend_schema(request=IntentDraftSerializer, responses=AskedIntentSerializer)
    def post(self, request: Request) -> Response:
        """Say what would be understood of this model. Nothing is stored and nothing runs."""
        request_org(request)  # a token of some organisation is needed
        given = IntentDraftSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        intent = understood(ModelDraft(**given.validated_data))
        facts = IntentFacts.of(intent).to_json() | {"questions": intent.questions}
        return Response(AskedIntentSerializer(facts).data)
