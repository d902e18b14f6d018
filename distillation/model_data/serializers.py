"""Shapes of where the rows of a model come from."""

from rest_framework import serializers

from distillation.corpus.serializers import SourceSerializer
from distillation.imports.serializers import ImportSummarySerializer
from distillation.model_data.overview import DataOverview, Need, Sample, SourceLine
from models_app.api.serializers import ChangesSerializer
from models_app.models import CustomModel
from modelstation.core.web.api import Choice


class NeedSerializer(serializers.Serializer[Need]):
    """A label, a field of the answers, or all `rows`: how many rows have it, and at least need."""

    name = serializers.CharField()
    found = serializers.IntegerField()
    wanted = serializers.IntegerField()
    missing = serializers.IntegerField()


class SampleSerializer(serializers.Serializer[Sample]):
    input = serializers.CharField()
    answer = serializers.CharField()


class CountedLabelSerializer(serializers.Serializer[tuple[str, int]]):
    label = serializers.CharField(source="0")  # type: ignore[assignment]
    rows = serializers.IntegerField(source="1")


class DataSourceSerializer(serializers.Serializer[SourceLine]):
    source = SourceSerializer()  # type: ignore[assignment]
    is_chosen = serializers.BooleanField()
    rows_in_dataset = serializers.IntegerField()
    labels_outside = CountedLabelSerializer(many=True, source="outside")
    samples = SampleSerializer(many=True)
    why = serializers.CharField()


class ModelDataSerializer(serializers.Serializer[DataOverview]):
    """What is found and missing, each source in use, and those that are related but not used."""

    search_corpus = serializers.BooleanField(source="model.search_corpus")
    doubtful_rows = serializers.CharField(source="model.doubtful_rows")
    unit = serializers.CharField(help_text="What is counted: label, field or answer.")
    needs = NeedSerializer(many=True)
    is_enough = serializers.BooleanField()
    sources = DataSourceSerializer(many=True)
    related = DataSourceSerializer(many=True)
    imports = ImportSummarySerializer(many=True)


class ModelDataChangesSerializer(ChangesSerializer):
    """What the next build takes its rows from. Sources are given by their ids."""

    search_corpus = serializers.BooleanField(
        required=False, help_text="False: rows come from the chosen sources alone."
    )
    doubtful_rows = Choice(
        CustomModel.DoubtfulRows.choices,
        required=False,
        help_text="What is done with rows whose label is likely wrong.",
    )
    use = serializers.ListField(
        child=serializers.UUIDField(), required=False, help_text="Sources to use in any case."
    )
    stop = serializers.ListField(
        child=serializers.UUIDField(), required=False, help_text="Sources to leave to the search."
    )
