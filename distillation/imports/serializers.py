"""Shapes of imports. What may be said of a file is decided in distillation.imports.services."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.utils.serializer_helpers import ReturnDict

from distillation.datasets.serializers import MessageSerializer
from distillation.imports.reading.errors import RowError
from distillation.imports.reading.preview import Preview
from distillation.imports.reading.readers import KNOWN_KINDS
from distillation.imports.reading.rows import ExampleRow
from distillation.imports.reading.shapes import ColumnMapping
from distillation.imports.services import draft_of, preview_of
from distillation.limits import NAME_CHARS, TASK_CHARS
from distillation.models import ImportRun
from models_app.api.serializers import stage_of
from modelstation.core.web.api import StrictSerializer


class ImportDraftSerializer(StrictSerializer):
    """How a file is read. Without `user` and `assistant` the columns are found by their names."""

    source = serializers.CharField(  # type: ignore[assignment]
        max_length=NAME_CHARS, required=False, help_text="Its name; else the name of the file."
    )
    license = serializers.CharField(
        max_length=NAME_CHARS,
        required=False,
        help_text="Of rows that state none; “own data” by default.",
    )
    task = serializers.CharField(max_length=TASK_CHARS, required=False, allow_blank=True)
    append = serializers.BooleanField(
        required=False, help_text="Add to the organisation's source of this name."
    )
    user = serializers.CharField(max_length=TASK_CHARS, required=False, allow_blank=True)
    assistant = serializers.CharField(max_length=TASK_CHARS, required=False, allow_blank=True)
    system = serializers.CharField(max_length=TASK_CHARS, required=False, allow_blank=True)
    context = serializers.CharField(  # type: ignore[assignment]
        max_length=TASK_CHARS, required=False, allow_blank=True
    )
    task_column = serializers.CharField(max_length=TASK_CHARS, required=False, allow_blank=True)
    clean_markup = serializers.BooleanField(
        required=False, help_text="Store plain text where rows hold tags and entities."
    )
    redact = serializers.BooleanField(
        required=False, help_text="Store `[email]`, `[phone]` … in place of personal data."
    )


class UploadSerializer(ImportDraftSerializer):
    model = serializers.UUIDField(
        required=False, help_text="A model that uses the rows once they are loaded."
    )
    file = serializers.FileField(help_text=f"One of {KNOWN_KINDS}; each but Parquet also as .gz.")


class RowErrorSerializer(serializers.Serializer[RowError]):
    line = serializers.IntegerField()
    field = serializers.CharField()
    code = serializers.CharField()
    message = serializers.CharField()
    hint = serializers.CharField()


class PreviewRowSerializer(serializers.Serializer[ExampleRow]):
    line = serializers.IntegerField()
    messages = MessageSerializer(many=True)
    task = serializers.CharField()
    license = serializers.CharField()


class PreviewSerializer(serializers.Serializer[Preview]):
    """The beginning of the file as it would be read. `is_whole`: the counts are of all rows."""

    format = serializers.CharField()
    is_packed = serializers.BooleanField()
    encoding = serializers.CharField()
    delimiter = serializers.CharField()
    columns = serializers.ListField(child=serializers.CharField())
    mapping = serializers.SerializerMethodField()
    reason = serializers.CharField(help_text="What the columns were decided by.")
    rows = PreviewRowSerializer(many=True)
    errors = RowErrorSerializer(many=True)  # type: ignore[assignment]
    read = serializers.IntegerField()
    accepted = serializers.IntegerField()
    rejected = serializers.IntegerField()
    is_whole = serializers.BooleanField()
    refusal = serializers.CharField(allow_null=True)

    def get_mapping(self, preview: Preview) -> dict[str, str] | None:
        """Columns by what they hold; null where it is not clear."""
        if isinstance(preview.mapping, ColumnMapping):
            names = ("user", "assistant", "system", "context")
            return {name: getattr(preview.mapping, name) for name in names}
        return {"messages": preview.mapping} if preview.mapping else None


class ImportProgressSerializer(serializers.Serializer[Any]):
    stage = serializers.CharField()
    step = serializers.IntegerField(allow_null=True)
    total_steps = serializers.IntegerField(allow_null=True)
    rows_per_second = serializers.FloatField(allow_null=True)
    eta_seconds = serializers.FloatField(allow_null=True)


class ImportSummarySerializer(serializers.ModelSerializer[ImportRun]):
    source = serializers.SerializerMethodField()  # type: ignore[assignment]

    class Meta:
        model = ImportRun
        fields = [
            "id", "origin", "source", "model", "state", "upload_bytes", "file_sha256", "rows_total",
            "rows_read", "rows_added", "rows_duplicate", "rows_rejected", "rows_flagged",
            "error_text", "created_at", "finished_at",
        ]  # fmt: skip

    def get_source(self, run: ImportRun) -> str:
        return draft_of(run).source_name


class ImportSerializer(ImportSummarySerializer):
    """One import. `errors` are of the first hundred rows that were rejected; `preview` is there
    until it is confirmed, `progress` while it is loaded.
    """

    options = ImportDraftSerializer()
    flags = serializers.DictField(child=serializers.IntegerField())
    errors = RowErrorSerializer(many=True)  # type: ignore[assignment]
    progress = serializers.SerializerMethodField()
    preview = serializers.SerializerMethodField()

    class Meta(ImportSummarySerializer.Meta):
        fields = [
            *ImportSummarySerializer.Meta.fields,
            "options", "flags", "errors", "progress", "preview",
        ]  # fmt: skip

    @extend_schema_field(ImportProgressSerializer(allow_null=True))
    def get_progress(self, run: ImportRun) -> ReturnDict[str, Any] | None:
        if run.job is None or not run.job.is_live:
            return None
        progress = dict.fromkeys(ImportProgressSerializer().fields) | run.job.progress
        return ImportProgressSerializer(progress | {"stage": stage_of(run.job)}).data

    @extend_schema_field(PreviewSerializer(allow_null=True))
    def get_preview(self, run: ImportRun) -> ReturnDict[str, Any] | None:
        if run.state != ImportRun.State.UPLOADED:
            return None
        return PreviewSerializer(preview_of(run, draft_of(run))).data
