"""The shapes of OpenAI's surface, for its description; `shapes` makes them."""

from typing import Any

from rest_framework import serializers

Shape = dict[str, Any]


class OpenAIDeletedSerializer(serializers.Serializer[Shape]):
    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


class OpenAIObjectSerializer(serializers.Serializer[Shape]):
    id = serializers.CharField()
    object = serializers.CharField()
    created_at = serializers.IntegerField(help_text="Unix seconds, like all times here.")


class OpenAIFileSerializer(OpenAIObjectSerializer):
    bytes = serializers.IntegerField()
    expires_at = serializers.IntegerField(allow_null=True)
    filename = serializers.CharField()
    purpose = serializers.CharField()
    status = serializers.CharField(help_text="processed, or error: see status_details.")
    status_details = serializers.CharField(allow_null=True)
    modelstation = serializers.DictField(
        help_text="sha256, rows, and of each bad row line, field, code, message and hint."
    )


class OpenAIHyperparametersSerializer(serializers.Serializer[Shape]):
    n_epochs = serializers.JSONField(help_text="A number, or “auto” before it is settled.")
    batch_size = serializers.JSONField(help_text="Rows of one step, on average.")
    learning_rate_multiplier = serializers.JSONField()


class OpenAIJobErrorSerializer(serializers.Serializer[Shape]):
    code = serializers.CharField()
    message = serializers.CharField()
    param = serializers.CharField(allow_null=True)


class OpenAIJobSerializer(OpenAIObjectSerializer):
    finished_at = serializers.IntegerField(allow_null=True)
    estimated_finish = serializers.IntegerField(allow_null=True)
    model = serializers.CharField()
    fine_tuned_model = serializers.CharField(allow_null=True)
    organization_id = serializers.CharField()
    status = serializers.CharField(
        help_text="validating_files, queued, running, paused, succeeded, failed or cancelled."
    )
    training_file = serializers.CharField(allow_null=True)
    validation_file = serializers.CharField(allow_null=True)
    result_files = serializers.ListField(child=serializers.CharField())
    trained_tokens = serializers.IntegerField(allow_null=True)
    hyperparameters = OpenAIHyperparametersSerializer()
    method = serializers.DictField()
    seed = serializers.IntegerField()
    integrations = serializers.ListField(child=serializers.DictField())
    metadata = serializers.DictField(child=serializers.CharField())
    user_provided_suffix = serializers.CharField(allow_null=True)
    error = OpenAIJobErrorSerializer(allow_null=True)
    modelstation = serializers.DictField(
        help_text="The fine stage, the model, run and dataset, and the result of the evaluation."
    )


class OpenAIEventSerializer(OpenAIObjectSerializer):
    level = serializers.CharField()
    message = serializers.CharField()
    type = serializers.CharField()
    data = serializers.DictField()  # type: ignore[assignment]
    modelstation = serializers.DictField()


class OpenAICheckpointSerializer(OpenAIObjectSerializer):
    fine_tuned_model_checkpoint = serializers.CharField()
    fine_tuning_job_id = serializers.CharField()
    step_number = serializers.IntegerField()
    metrics = serializers.DictField(child=serializers.FloatField(allow_null=True))


class OpenAIListSerializer(serializers.Serializer[Shape]):
    object = serializers.CharField()
    has_more = serializers.BooleanField()
    first_id = serializers.CharField(allow_null=True)
    last_id = serializers.CharField(allow_null=True)


class OpenAIFileListSerializer(OpenAIListSerializer):
    data = OpenAIFileSerializer(many=True)  # type: ignore[assignment]


class OpenAIJobListSerializer(OpenAIListSerializer):
    data = OpenAIJobSerializer(many=True)  # type: ignore[assignment]


class OpenAIEventListSerializer(OpenAIListSerializer):
    data = OpenAIEventSerializer(many=True)  # type: ignore[assignment]


class OpenAICheckpointListSerializer(OpenAIListSerializer):
    data = OpenAICheckpointSerializer(many=True)  # type: ignore[assignment]
