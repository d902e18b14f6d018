"""Shapes of what people do to the rows of a draft, and of two versions side by side."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from distillation.curation.row_filter import row_filter
from distillation.curation.services import Chosen
from distillation.datasets.comparing import ComparedVersion, Comparison, Pair
from distillation.datasets.serializers import (
    DatasetRowSerializer,
    DatasetSerializer,
    RowFilterSerializer,
)
from distillation.limits import TEXT_CHARS
from distillation.models import DatasetRow
from modelstation.core.web.api import Choice, StrictSerializer


class ChosenSerializer(StrictSerializer):
    """Rows by their ids, or all that match a filter."""

    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        required=False,
        allow_empty=False,
    )
    filter = RowFilterSerializer(required=False)

    def validate(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if ("ids" in given) == ("filter" in given):
            raise serializers.ValidationError({"ids": "Give either ids or a filter."})
        return given

    @property
    def chosen(self) -> Chosen:
        given = self.validated_data
        ids: list[int] | None = given.get("ids")
        return row_filter(given["filter"]) if ids is None else ids


class DecideSerializer(ChosenSerializer):
    decision = Choice(DatasetRow.Decision.choices)


class AnswersSerializer(ChosenSerializer):
    """One `answer` for all of them, or `replacement` wherever `find` stands in their answers."""

    answer = serializers.CharField(required=False, max_length=TEXT_CHARS)
    find = serializers.CharField(required=False, trim_whitespace=False, max_length=1000)
    replacement = serializers.CharField(
        required=False, trim_whitespace=False, allow_blank=True, max_length=1000
    )

    def validate(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        said = given.keys() & {"answer", "find", "replacement"}
        if said not in ({"answer"}, {"find", "replacement"}):
            message = "Give either an answer, or find and replacement."
            raise serializers.ValidationError({"answer": message})
        return super().validate(given)


class RowEditSerializer(StrictSerializer):
    input = serializers.CharField(required=False, max_length=TEXT_CHARS)
    answer = serializers.CharField(required=False, max_length=TEXT_CHARS)


class ChangedSerializer(serializers.Serializer[Any]):
    changed = serializers.IntegerField()
    dataset = DatasetSerializer()


class ComparedVersionSerializer(serializers.Serializer[ComparedVersion]):
    id = serializers.UUIDField()
    distributions = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField())
    )


class PairOfRowsSerializer(serializers.Serializer[Pair]):
    """One row as it stands in each version; null where a version does not have it."""

    first = DatasetRowSerializer(allow_null=True)
    second = DatasetRowSerializer(allow_null=True)
    changes = serializers.ListField(child=serializers.CharField())


class ComparisonSerializer(serializers.Serializer[Comparison]):
    first = ComparedVersionSerializer()
    second = ComparedVersionSerializer()
    counts = serializers.DictField(child=serializers.IntegerField())
    kind = serializers.CharField()
    rows = PairOfRowsSerializer(many=True)
