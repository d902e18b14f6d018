"""Shapes of datasets and their rows."""

from rest_framework import serializers

from distillation.curation.row_filter import SORTS
from distillation.limits import SEARCH_CHARS
from distillation.models import DatasetRow, DatasetVersion
from modelstation.core.web.api import Choice, StrictSerializer


class DatasetSummarySerializer(serializers.ModelSerializer[DatasetVersion]):
    class Meta:
        model = DatasetVersion
        fields = [
            "id", "model", "number", "state", "parent", "digest", "row_count", "split_counts",
            "created_at", "frozen_at",
        ]  # fmt: skip


class DatasetSerializer(serializers.ModelSerializer[DatasetVersion]):
    """What came in, from where, under which licences, and what was refused. The counts are of the
    rows that are kept; a draft has no digest and no files yet.
    """

    split_counts = serializers.DictField(child=serializers.IntegerField())
    source_counts = serializers.DictField(child=serializers.IntegerField())
    license_counts = serializers.DictField(child=serializers.IntegerField())
    intent = serializers.DictField(source="run.intent")
    funnel = serializers.ListField(child=serializers.DictField(), source="run.funnel")

    class Meta:
        model = DatasetVersion
        fields = [
            "id", "model", "number", "state", "parent", "digest", "system_prompt", "row_count",
            "split_counts", "source_counts", "license_counts", "intent", "funnel", "created_at",
            "frozen_at",
        ]  # fmt: skip


class MessageSerializer(serializers.Serializer[dict[str, str]]):
    role = serializers.CharField()
    content = serializers.CharField()


class DatasetRowSerializer(serializers.ModelSerializer[DatasetRow]):
    messages = MessageSerializer(many=True)
    original_messages = MessageSerializer(many=True, allow_null=True)
    scores = serializers.DictField()

    class Meta:
        model = DatasetRow
        fields = [
            "id", "position", "split", "decision", "messages", "original_messages", "source_name",
            "task", "license", "content_hash", "corpus_hash", "score", "scores", "reason", "query",
            "step",
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


class RowQuerySerializer(RowFilterSerializer):
    sort = Choice(list(SORTS), required=False, allow_blank=True)
