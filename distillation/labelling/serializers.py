"""Shapes of /api/v1/models/{id}/inputs."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from distillation.labelling.reading import MOST_INPUTS
from distillation.labelling.rows import DEFAULT_LEVEL, ModelInput
from distillation.labelling.services import LEVELS
from distillation.limits import TASK_CHARS, TEXT_CHARS
from modelstation.core.web.api import Choice, StrictSerializer

SETTABLE = [ModelInput.State.OPEN, ModelInput.State.SKIPPED, ModelInput.State.UNUSABLE]


class InputSerializer(serializers.ModelSerializer[ModelInput]):
    """`chance`: that the proposal is right. `flags`: kinds of personal data in the text."""

    class Meta:
        model = ModelInput
        fields = [
            "id", "position", "text", "flags", "state", "rank", "proposal", "proposed_by",
            "chance", "is_sure", "answer", "answered_at",
        ]  # fmt: skip


class NewInputsSerializer(StrictSerializer):
    inputs = serializers.ListField(
        child=serializers.CharField(
            allow_blank=True, trim_whitespace=False, max_length=2 * TEXT_CHARS
        ),
        max_length=MOST_INPUTS,
        required=False,
    )
    file = serializers.FileField(
        required=False, help_text="Text with an input per line, or a table; by multipart form."
    )
    column = serializers.CharField(
        required=False, max_length=TASK_CHARS, help_text="Of a table; else it is found."
    )

    def validate(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if ("inputs" in given) == ("file" in given):
            raise serializers.ValidationError("Give inputs or a file.")
        return given


class AddedInputsSerializer(serializers.Serializer[Any]):
    added = serializers.IntegerField()
    duplicate = serializers.IntegerField()
    blank = serializers.IntegerField()
    too_long = serializers.IntegerField()
    unreadable = serializers.IntegerField()
    beyond = serializers.IntegerField(help_text="Left out: a model has at most 20,000.")
    column = serializers.CharField(help_text="That the inputs were read from, of a table.")


class InputChangeSerializer(StrictSerializer):
    answer = serializers.CharField(max_length=TEXT_CHARS, required=False)
    state = Choice(SETTABLE, required=False, help_text="`open` forgets the answer.")

    def validate(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if ("answer" in given) == ("state" in given):
            raise serializers.ValidationError("Give an answer or a state.")
        return given


class TakeOverSerializer(StrictSerializer):
    level = serializers.FloatField(
        min_value=0.001,
        max_value=max(LEVELS),
        default=DEFAULT_LEVEL,
        help_text="The share of what is taken over that may be wrong.",
    )


class ShareSerializer(serializers.Serializer[Any]):
    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class LabellingEstimateSerializer(serializers.Serializer[Any]):
    """Of the head's proposals; empty before there are enough answers."""

    accuracy = ShareSerializer(required=False, help_text="On all that is open.")
    taken = serializers.IntegerField(required=False, help_text="Would be taken over.")
    error = ShareSerializer(required=False, allow_null=True, help_text="Of what would be taken.")
    left_out = serializers.IntegerField(required=False)
    reason = serializers.CharField(required=False, help_text="Why none would be taken.")


class SummarySerializer(serializers.Serializer[Any]):
    inputs = serializers.IntegerField()
    open = serializers.IntegerField()
    answered = serializers.IntegerField()
    skipped = serializers.IntegerField()
    unusable = serializers.IntegerField()
    with_personal_data = serializers.IntegerField()
    labels = serializers.DictField(child=serializers.IntegerField())
    level = serializers.FloatField(source="labelling.level", default=DEFAULT_LEVEL)
    estimate = LabellingEstimateSerializer()
    is_busy = serializers.BooleanField(source="labelling.is_busy", default=False)
    error = serializers.CharField(source="labelling.error_text", default="")
    source_id = serializers.UUIDField(source="labelling.source_id", default=None, allow_null=True)
    stored_answered = serializers.IntegerField(source="labelling.stored_answered", default=0)
    stored_taken = serializers.IntegerField(source="labelling.stored_taken", default=0)
    stored_at = serializers.DateTimeField(
        source="labelling.stored_at", default=None, allow_null=True
    )
