"""Shapes of sources, datasets and their rows."""

from typing import Any

from rest_framework import serializers

from distillation.curation.row_filter import SORTS, RowFilter, row_filter
from distillation.curation.services import MAX_ANSWER_CHARS, Chosen
from distillation.models import DatasetRow, DatasetVersion, SourceDataset
from modelstation.core.web.api import Choice, StrictSerializer


class SourceSerializer(serializers.ModelSerializer[SourceDataset]):
    is_public = serializers.SerializerMethodField()

    class Meta:
        model = SourceDataset
        fields = [
            "id",
            "name",
            "license",
            "origin",
            "revision",
            "state",
            "row_count",
            "is_public",
            "created_at",
        ]

    def get_is_public(self, source: SourceDataset) -> bool:
        return source.org_id is None


class UsingDatasetSerializer(serializers.Serializer[Any]):
    """A dataset that holds rows of a source."""

    id = serializers.UUIDField()
    model = serializers.UUIDField()
    name = serializers.CharField()
    rows = serializers.IntegerField()

    def to_representation(self, instance: tuple[DatasetVersion, int]) -> dict[str, Any]:
        dataset, rows = instance
        facts = {"id": dataset.id, "model": dataset.model_id, "name": str(dataset), "rows": rows}
        return super().to_representation(facts)


class UsingVersionSerializer(serializers.Serializer[Any]):
    """A model version that was trained on such a dataset."""

    id = serializers.UUIDField()
    model = serializers.UUIDField(source="model_id")
    name = serializers.CharField(source="__str__")


class SourceUseSerializer(serializers.Serializer[Any]):
    datasets = UsingDatasetSerializer(many=True)
    versions = UsingVersionSerializer(many=True)


class SourceInUseSerializer(serializers.Serializer[Any]):
    error = serializers.DictField(child=serializers.CharField())
    used_by = SourceUseSerializer()


class FlagSerializer(serializers.Serializer[dict[str, Any]]):
    flag = serializers.CharField()
    text = serializers.CharField()
    rows = serializers.IntegerField()


class QualityRowSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.IntegerField()
    external_id = serializers.CharField()
    input = serializers.CharField()
    answer = serializers.CharField()


class DuplicateGroupSerializer(serializers.Serializer[dict[str, Any]]):
    size = serializers.IntegerField()
    representative = QualityRowSerializer()
    repeats = QualityRowSerializer(many=True)


class ConflictAnswerSerializer(serializers.Serializer[dict[str, Any]]):
    answer = serializers.CharField()
    rows = serializers.IntegerField()
    example = QualityRowSerializer()


class ConflictSerializer(serializers.Serializer[dict[str, Any]]):
    input = serializers.CharField()
    answers = ConflictAnswerSerializer(many=True)


class LabelProblemSerializer(serializers.Serializer[dict[str, Any]]):
    row = QualityRowSerializer()
    reason = serializers.CharField()
    meant = serializers.CharField()


class DisagreementSerializer(serializers.Serializer[dict[str, Any]]):
    row = QualityRowSerializer()
    score = serializers.FloatField()
    suggested = serializers.CharField()
    neighbour = QualityRowSerializer()


class SourceQualitySerializer(serializers.Serializer[dict[str, Any]]):
    """The first fifty of each finding, and how many there are."""

    rows = serializers.IntegerField()
    sampled = serializers.IntegerField()
    flags = FlagSerializer(many=True)
    labels = serializers.IntegerField(help_text="0 where the answers are no labels.")
    counts = serializers.DictField(child=serializers.IntegerField())
    duplicates = DuplicateGroupSerializer(many=True)
    conflicts = ConflictSerializer(many=True)
    label_problems = LabelProblemSerializer(many=True)
    disagreements = DisagreementSerializer(many=True)


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

    q = serializers.CharField(required=False, allow_blank=True, max_length=200)
    split = Choice(DatasetRow.Split.choices, required=False, allow_blank=True)
    source = serializers.CharField(required=False, allow_blank=True)  # type: ignore[assignment]
    decision = Choice(DatasetRow.Decision.choices, required=False, allow_blank=True)
    answer = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    license = serializers.CharField(required=False, allow_blank=True)
    edited = serializers.BooleanField(required=False, allow_null=True)


class RowQuerySerializer(RowFilterSerializer):
    sort = Choice(list(SORTS), required=False, allow_blank=True)


class ChosenSerializer(StrictSerializer):
    """Rows by their ids, or all that match a filter."""

    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        required=False,
        allow_empty=False,
    )
    filter = RowFilterSerializer(required=False)

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        if ("ids" in given) == ("filter" in given):
            raise serializers.ValidationError({"ids": "Give either ids or a filter."})
        return given

    @property
    def chosen(self) -> Chosen:
        given = self.validated_data
        chosen: list[int] | RowFilter = (
            given["ids"] if "ids" in given else row_filter(given["filter"])
        )
        return chosen


class DecideSerializer(ChosenSerializer):
    decision = Choice(DatasetRow.Decision.choices)


class AnswersSerializer(ChosenSerializer):
    """One `answer` for all of them, or `replacement` wherever `find` stands in their answers."""

    answer = serializers.CharField(required=False, max_length=MAX_ANSWER_CHARS)
    find = serializers.CharField(required=False, trim_whitespace=False, max_length=1000)
    replacement = serializers.CharField(
        required=False, trim_whitespace=False, allow_blank=True, max_length=1000
    )

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        if ("answer" in given) == ("find" in given) or ("find" in given) != (
            "replacement" in given
        ):
            raise serializers.ValidationError(
                {"answer": "Give either an answer, or find and replacement."}
            )
        return super().validate(given)


class RowEditSerializer(StrictSerializer):
    input = serializers.CharField(required=False, max_length=MAX_ANSWER_CHARS)
    answer = serializers.CharField(required=False, max_length=MAX_ANSWER_CHARS)


class ChangedSerializer(serializers.Serializer[dict[str, Any]]):
    changed = serializers.IntegerField()
    dataset = DatasetSerializer()


class ComparedVersionSerializer(serializers.Serializer[dict[str, Any]]):
    id = serializers.UUIDField()
    distributions = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField())
    )


class PairOfRowsSerializer(serializers.Serializer[Any]):
    """One row as it stands in each version; null where a version does not have it."""

    first = DatasetRowSerializer(allow_null=True)
    second = DatasetRowSerializer(allow_null=True)
    changes = serializers.ListField(child=serializers.CharField())


class ComparisonSerializer(serializers.Serializer[dict[str, Any]]):
    first = ComparedVersionSerializer()
    second = ComparedVersionSerializer()
    counts = serializers.DictField(child=serializers.IntegerField())
    kind = serializers.CharField()
    rows = PairOfRowsSerializer(many=True)
