"""What can be requested of a fine-tuning job and of a file, in OpenAI's terms. Unknown and
unsupported fields are refused by name: none is lost in silence.
"""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from modelstation.core.web.api import Choice
from training.models import UploadedFile
from training.recipes.config import MAX_ROWS_PER_BATCH, bounds_of

MAX_SUFFIX = 64
MAX_PAIRS, MAX_KEY, MAX_VALUE = 16, 64, 512
NOT_HERE = "unsupported_value"
METHODS_ELSEWHERE = ("dpo", "reinforcement")


class KnownFields(serializers.Serializer[Any]):
    """Refuses what it does not know by OpenAI's code; a null counts as not given."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError({"non_field_errors": ["A JSON object is needed."]})
        given = {key: value for key, value in data.items() if value is not None}
        if unknown := sorted(str(key) for key in given.keys() - self.fields.keys()):
            message = f"Unrecognized request argument supplied: {unknown[0]}"
            raise serializers.ValidationError({unknown[0]: message}, code="unknown_parameter")
        return super().to_internal_value(given)


@extend_schema_field({"oneOf": [{"type": "string", "enum": ["auto"]}, {"type": "number"}]})
class AutoField(serializers.Field[Any, Any, Any, Any]):
    """ "auto", or a number from `low` to `high`."""

    def __init__(self, low: float, high: float, *, whole: bool = False, **more: Any) -> None:
        super().__init__(required=False, **more)
        self.low, self.high, self.whole = low, high, whole

    def to_internal_value(self, data: Any) -> Any:
        if data == "auto":
            return data
        kinds = int if self.whole else (int, float)
        usable = isinstance(data, kinds) and not isinstance(data, bool)
        if not usable or not self.low <= data <= self.high:
            word = "a whole number" if self.whole else "a number"
            message = f"Either “auto” or {word} from {self.low:g} to {self.high:g}."
            raise serializers.ValidationError(message)
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class HyperparametersSerializer(KnownFields):
    n_epochs = AutoField(1, bounds_of("epochs")[1], whole=True)
    batch_size = AutoField(
        1, MAX_ROWS_PER_BATCH, whole=True, help_text="Rows of one step, on average."
    )
    learning_rate_multiplier = AutoField(0.01, 10)


class SupervisedSerializer(KnownFields):
    hyperparameters = HyperparametersSerializer(required=False)


class MethodSerializer(KnownFields):
    type = Choice(["supervised"])
    supervised = SupervisedSerializer(required=False)

    def to_internal_value(self, data: Any) -> Any:
        wanted = data.get("type") if isinstance(data, dict) else None
        if wanted in METHODS_ELSEWHERE:
            message = f"The method “{wanted}” is not supported here; “supervised” is."
            raise serializers.ValidationError({"type": message}, code=NOT_HERE)
        return super().to_internal_value(data)


class FineTuningRequestSerializer(KnownFields):
    model = serializers.CharField(max_length=200, help_text="An installed base.")
    training_file = serializers.CharField(max_length=80)
    validation_file = serializers.CharField(max_length=80, required=False)
    suffix = serializers.CharField(max_length=MAX_SUFFIX, required=False)
    seed = serializers.IntegerField(
        min_value=0, max_value=int(bounds_of("seed")[1]), required=False
    )
    metadata = serializers.DictField(
        child=serializers.CharField(max_length=MAX_VALUE, allow_blank=True), required=False
    )
    method = MethodSerializer(required=False)
    hyperparameters = HyperparametersSerializer(required=False, help_text="Superseded by `method`.")
    integrations = serializers.ListField(child=serializers.DictField(), required=False)

    def validate_metadata(self, pairs: dict[str, str]) -> dict[str, str]:
        if len(pairs) > MAX_PAIRS:
            raise serializers.ValidationError(f"At most {MAX_PAIRS} pairs.")
        if longer := next((key for key in pairs if len(key) > MAX_KEY), None):
            raise serializers.ValidationError(
                f"A key has at most {MAX_KEY} characters: {longer[:80]}"
            )
        return pairs

    def validate_integrations(self, given: list[Any]) -> list[Any]:
        if given:
            raise serializers.ValidationError("No integration is supported here.", code=NOT_HERE)
        return given

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the hyperparameters under one name, wherever they were given."""
        legacy = given.pop("hyperparameters", {})
        modern = given.pop("method", {}).get("supervised", {}).get("hyperparameters", {})
        if legacy and modern and legacy != modern:
            message = "These differ from those of `method`; give them there alone."
            raise serializers.ValidationError({"hyperparameters": message})
        return given | {"hyperparameters": modern or legacy}


@extend_schema_field({"type": "string", "format": "binary"})
class BytesField(serializers.FileField):
    """A file of a form."""


class FileUploadSerializer(serializers.Serializer[Any]):
    file = BytesField(
        help_text="JSONL of chats, prompt and completion, instructions or text and label; CSV; "
        "Parquet."
    )
    purpose = Choice([UploadedFile.Purpose.FINE_TUNE.value])

    def to_internal_value(self, data: Any) -> Any:
        for name in data:
            if name not in self.fields:
                known = "expires_after" if name.startswith("expires_after") else name
                message = f"Unrecognized request argument supplied: {known}"
                raise serializers.ValidationError({known: message}, code="unknown_parameter")
        return super().to_internal_value(data)
