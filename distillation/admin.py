"""Operators look at data here: sources, imports, distillation runs and their datasets."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.models import User
from distillation.corpus.deletion import delete_source, use_of
from distillation.models import (
    CandidateRow,
    DatasetPush,
    DatasetVersion,
    DistillationRun,
    HubImport,
    HubSearch,
    ImportRun,
    Labelling,
    LogUse,
    SourceDataset,
    Teacher,
    TeacherRun,
)
from modelstation.core.jobs.admin_actions import JobActions, ReadOnly


@admin.register(SourceDataset)
class SourceDatasetAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["name", "owner", "state", "row_count", "license", "origin", "created_at"]
    list_filter = ["state", "license", ("org", admin.EmptyFieldListFilter), "created_at"]
    list_select_related = ["org"]
    search_fields = ["name", "origin", "license", "org__name", "org__slug"]
    raw_id_fields = ["org"]
    readonly_fields = ["id", "state", "row_count", "created_at"]

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """List for Django's confirmation the sources, and who used them; never their rows."""
        listed: list[Any] = []
        for source, use in [(source, use_of(source)) for source in objs]:
            used_by = [f"{made} of {made.org}: {rows:,} rows stay" for made, rows in use.datasets]
            used_by += [f"{version}, trained on one of them" for version in use.versions]
            listed.append(f"{source}: {source.row_count:,} rows. {use.summary}")
            listed += [used_by] if used_by else []  # Django shows a list nested under its source
        counts = {"sources": len(objs), "rows": sum(source.row_count for source in objs)}
        return listed, counts, set(), []

    def delete_model(self, request: HttpRequest, obj: SourceDataset) -> None:
        assert isinstance(request.user, User)
        delete_source(actor=request.user, source=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[SourceDataset]) -> None:
        for source in queryset:
            self.delete_model(request, source)

    @admin.display(description="Owner", ordering="org__name")
    def owner(self, source: SourceDataset) -> str:
        return source.org.name if source.org else "public"


@admin.register(HubSearch)
class HubSearchAdmin(ReadOnly, JobActions):
    list_display = ["model", "org", "job_state", "created_by", "created_at"]
    list_filter = ["job__state", "created_at"]
    list_select_related = ["model", "org", "job", "created_by"]
    search_fields = ["model__name", "org__name", "org__slug"]
    exclude = ["candidates"]


@admin.register(HubImport)
class HubImportAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["repo_id", "revision", "license", "model", "org", "created_at"]
    list_filter = ["license", "created_at"]
    list_select_related = ["model", "org"]
    search_fields = ["repo_id", "model__name", "org__name", "org__slug"]


@admin.register(LogUse)
class LogUseAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["model", "org", "run", "created_by", "created_at"]
    list_filter = ["created_at"]
    list_select_related = ["model", "org", "run", "created_by"]
    search_fields = ["model__name", "org__name", "org__slug"]


@admin.register(ImportRun)
class ImportRunAdmin(ReadOnly, JobActions):
    list_display = [
        "origin", "org", "state", "job_state", "rows_read", "rows_added", "rows_duplicate",
        "rows_rejected", "created_at",
    ]  # fmt: skip
    list_filter = ["state", "job__state", "created_at"]
    list_select_related = ["org", "job"]
    search_fields = ["id", "origin", "error_text", "file_sha256", "org__name", "org__slug"]
    date_hierarchy = "created_at"


@admin.register(DistillationRun)
class DistillationRunAdmin(ReadOnly, JobActions):
    list_display = ["model", "org", "job_state", "error", "rows", "created_at"]
    list_filter = ["job__state", "job__error_code", "created_at"]
    list_select_related = ["org", "job", "model"]
    search_fields = ["id", "job__id", "model__name", "model__slug", "org__name", "job__error_text"]
    date_hierarchy = "created_at"

    @admin.display(description="Error")
    def error(self, run: DistillationRun) -> str:
        return run.job.error_code or "–"

    @admin.display(description="Rows")
    def rows(self, run: DistillationRun) -> str:
        counts = [version.row_count for version in run.dataset_versions.all()]
        return f"{counts[-1]:,}" if counts else "–"

    def get_queryset(self, request: HttpRequest) -> QuerySet[DistillationRun]:
        return super().get_queryset(request).prefetch_related("dataset_versions")


@admin.register(DatasetVersion)
class DatasetVersionAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """A dataset is frozen, or curated by its organisation: every field is for reading."""

    list_display = [
        "__str__", "org", "state", "row_count", "split_counts", "short_digest", "created_at",
    ]  # fmt: skip
    list_filter = ["state", "created_at"]
    list_select_related = ["org", "model"]
    search_fields = ["id", "model__name", "model__slug", "org__name", "digest"]
    date_hierarchy = "created_at"

    @admin.display(description="Digest")
    def short_digest(self, version: DatasetVersion) -> str:
        return version.digest[:12]


@admin.register(CandidateRow)
class CandidateRowAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """A correction is its organisation's to accept or dismiss."""

    list_display = ["__str__", "org", "state", "refusal", "created_by", "created_at"]
    list_filter = ["state", "created_at"]
    list_select_related = ["org", "model", "created_by"]
    search_fields = ["id", "model__name", "model__slug", "org__name"]
    date_hierarchy = "created_at"


@admin.register(Labelling)
class LabellingAdmin(ReadOnly, JobActions):
    """The inputs themselves are the organisation's: an operator sees how many are stored."""

    list_display = [
        "__str__", "org", "job_state", "stored_answered", "stored_taken", "stored_at", "created_at",
    ]  # fmt: skip
    list_select_related = ["org", "model", "job"]
    search_fields = ["id", "model__name", "model__slug", "org__name"]
    date_hierarchy = "created_at"


@admin.register(DatasetPush)
class DatasetPushAdmin(ReadOnly, JobActions):
    list_display = ["repo_id", "org", "dataset", "is_private", "job_state", "commit", "created_at"]
    list_filter = ["is_private", "job__state", "created_at"]
    list_select_related = ["org", "job", "dataset__model"]
    search_fields = ["id", "repo_id", "org__name", "commit", "job__error_text"]
    date_hierarchy = "created_at"


class OperatorsTeacherForm(forms.ModelForm):  # type: ignore[type-arg]
    """The stored key is never shown; an empty field leaves it as it is."""

    new_key = forms.CharField(
        label="API key", required=False, max_length=400,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Kept encrypted. Empty: the stored key stays.",
    )  # fmt: skip

    class Meta:
        model = Teacher
        exclude = ["api_key", "created_by"]  # noqa: DJ006

    def save(self, commit: bool = True) -> Any:
        if key := self.cleaned_data.get("new_key"):
            self.instance.api_key = key
        return super().save(commit)


@admin.register(Teacher)
class TeacherAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Without an organisation, and shared, a teacher is lent to all; its address may be private."""

    form = OperatorsTeacherForm
    list_display = ["name", "org", "is_shared", "kind", "model_name", "base_url", "created_at"]
    list_filter = ["kind", "is_shared", "created_at"]
    list_select_related = ["org"]
    search_fields = ["name", "org__name", "org__slug", "model_name"]
    raw_id_fields = ["org", "base"]


@admin.register(TeacherRun)
class TeacherRunAdmin(ReadOnly, JobActions):
    list_display = [
        "model",
        "org",
        "action",
        "teacher_name",
        "job_state",
        "row_count",
        "created_at",
    ]
    list_filter = ["action", "job__state", "created_at"]
    list_select_related = ["org", "job", "model"]
    search_fields = ["model__name", "org__name", "org__slug", "teacher_name"]
