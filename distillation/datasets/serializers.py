"""Shapes of datasets and their rows."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from distillation.curation.row_filter import SORTS
from distillation.datasets.cards import labelled_counts
from distillation.limits import SEARCH_CHARS
from distillation.models import DatasetRow, DatasetVersion
from distillation.pipeline.provenance import LABELLED_BY, LabelledRows
from modelstation.core.web.api import Choice, StrictSerializer


class DatasetSummarySerializer(serializers.ModelSerializer[DatasetVersion]):
    class Meta:
        model = DatasetVersion
        fields = [
            "id", "model", "number", "state", "parent", "digest", "row_count", "split_counts",
            "created_at", "frozen_at",
        ]  # fmt: skip


class LabelledRowsSerializer(serializers.Serializer[LabelledRows]):
    labelled_by = serializers.CharField(
        allow_blank=True, help_text="Empty: not said by its source."
    )
    who = serializers.CharField(allow_blank=True)
    rows = serializers.IntegerField()
    cost = serializers.FloatField()


class DatasetSerializer(serializers.ModelSerializer[DatasetVersion]):
    """What came in, from where, under which licences, and what was refused. The counts are of the
    rows that are kept; a draft has no digest and no files yet.
    """

    split_counts = serializers.DictField(child=serializers.IntegerField())
    source_counts = serializers.DictField(child=serializers.IntegerField())
    license_counts = serializers.DictField(child=serializers.IntegerField())
    intent = serializers.DictField(source="run.intent")
    funnel = serializers.ListField(child=serializers.DictField(), source="run.funnel")
    labelled = serializers.SerializerMethodField()

    class Meta:
        model = DatasetVersion
        fields = [
            "id", "model", "number", "state", "parent", "digest", "system_prompt", "row_count",
            "split_counts", "source_counts", "license_counts", "intent", "funnel", "labelled",
            "created_at", "frozen_at",
        ]  # fmt: skip

    @extend_schema_field(LabelledRowsSerializer(many=True))
    def get_labelled(self, version: DatasetVersion) -> list[dict[str, Any]]:
        """Count the kept rows by who or what labelled them."""
        return [dict(LabelledRowsSerializer(group).data) for group in labelled_counts(version)]


class MessageSerializer(serializers.Serializer[dict[str, str]]):
    role = serializers.CharField()
    content = serializers.CharField()


class ProvenanceSerializer(serializers.Serializer[Any]):
    """Who or what labelled a row, as far as its source does not say it for all of them. Fields that
    say nothing are left out.
    """

    labelled_by = serializers.ChoiceField(list(LABELLED_BY), required=False)
    who = serializers.CharField(required=False)
    confidence = serializers.FloatField(required=False)
    action = serializers.CharField(required=False)
    prompt_version = serializers.CharField(required=False)
    seed = serializers.IntegerField(required=False)
    cost = serializers.FloatField(required=False)
    checked_by = serializers.ListField(child=serializers.CharField(), required=False)
    external = serializers.CharField(required=False)
    at = serializers.CharField(required=False)


class DatasetRowSerializer(serializers.ModelSerializer[DatasetRow]):
    messages = MessageSerializer(many=True)
    original_messages = MessageSerializer(many=True, allow_null=True)
    scores = serializers.DictField()
    provenance = ProvenanceSerializer()

    class Meta:
        model = DatasetRow
        fields = [
            "id", "position", "split", "decision", "messages", "original_messages", "source_name",
            "task", "license", "content_hash", "corpus_hash", "score", "scores", "reason", "query",
            "step", "provenance",
        ]  # fmt: skip


class RowFilterSerializer(StrictSerializer):
    """Which rows are meant. Empty: all of them."""

    q = serializers.CharField(required=False, allow_blank=True, max_length=SEARCH_CHARS)
    split = Choice(DatasetRow.Split.choices, required=False, allow_blank=True)
    source = serializers.CharField(required=False, allow_blank=True)  # type: ignore[assignment]
    decision = Choice(DatasetRow.Decision.choices, required=False, allow_blank=True)
    answer = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    license = serializers.CharField(required=False, allow_blank=True)
    edited = serializers.BooleanField(required=False, allow_null=True)
    labelled_by = Choice(list(LABELLED_BY), required=False, allow_blank=True)


class RowQuerySerializer(RowFilterSerializer):
    sort = Choice(list(SORTS), required=False, allow_blank=True)
