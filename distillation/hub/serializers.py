from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from distillation.hub.candidates import Candidate, Plan
from distillation.hub.services import MOST_ROWS
from distillation.imports.serializers import ImportSummarySerializer
from distillation.limits import ORIGIN_CHARS
from distillation.models import HubImport, HubSearch
from modelstation.core.web.api import StrictSerializer


class HubSampleSerializer(serializers.Serializer[Any]):
    input = serializers.CharField()
    output = serializers.CharField()


class CandidateSerializer(serializers.Serializer[Candidate]):
    """A data set of the hub. `problem`: why its rows are not taken; empty where they can be.

    `fit` says in words, and `verdict` in one, whether its rows help to find the answers of the
    model's examples; `score` is how near they are.
    """

    repo_id = serializers.CharField()
    revision = serializers.CharField()
    license = serializers.CharField()
    languages = serializers.ListField(child=serializers.CharField())
    downloads = serializers.IntegerField()
    description = serializers.CharField()
    config = serializers.CharField()
    split = serializers.CharField()
    parts = serializers.ListField(child=serializers.CharField())
    bytes = serializers.IntegerField()
    rows_read = serializers.IntegerField()
    columns = serializers.CharField()
    verdict = serializers.CharField()
    fit = serializers.CharField()
    score = serializers.FloatField()
    samples = HubSampleSerializer(many=True)
    problem = serializers.CharField()
    problem_code = serializers.CharField()


class HubSearchSerializer(serializers.ModelSerializer[HubSearch]):
    """Candidates come best first, then those whose rows are not taken."""

    model = serializers.UUIDField(source="model_id")
    state = serializers.CharField(source="job.state", allow_null=True, default=None)
    error_text = serializers.CharField(source="job.error_text", allow_null=True, default=None)
    queries = serializers.ListField(child=serializers.CharField())
    candidates = serializers.SerializerMethodField()

    class Meta:
        model = HubSearch
        fields = ["id", "model", "state", "error_text", "queries", "candidates", "created_at"]

    @extend_schema_field(CandidateSerializer(many=True))
    def get_candidates(self, search: HubSearch) -> Any:
        found = map(Candidate.from_json, search.candidates)
        return [CandidateSerializer(candidate).data for candidate in found]


class HubImportDraftSerializer(StrictSerializer):
    repo_id = serializers.CharField(max_length=ORIGIN_CHARS)
    revision = serializers.CharField(max_length=64, help_text="The 40 digits of a commit.")
    config = serializers.CharField(required=False, allow_blank=True, max_length=200)
    split = serializers.CharField(required=False, allow_blank=True, max_length=80)
    user = serializers.CharField(
        required=False, allow_blank=True, max_length=120, help_text="The column of the input."
    )
    assistant = serializers.CharField(
        required=False, allow_blank=True, max_length=120, help_text="The column of the answer."
    )
    max_rows = serializers.IntegerField(
        required=False, min_value=1, max_value=MOST_ROWS, default=Plan().max_rows
    )


class HubImportSerializer(serializers.ModelSerializer[HubImport]):
    """`run` is the import that brings the rows: see /api/v1/imports/{id}."""

    model = serializers.UUIDField(source="model_id")
    run = ImportSummarySerializer()

    class Meta:
        model = HubImport
        fields = ["id", "model", "repo_id", "revision", "license", "run", "created_at"]
