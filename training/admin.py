"""Operators look here at training runs and evaluations, with the state of their jobs."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat

from accounts.admin import OrganizationAdmin
from accounts.models import Organization, User
from models_app.admin import CustomModelAdmin
from models_app.models import CustomModel
from modelstation.core.jobs.admin_actions import JobActions, ReadOnly
from training import models
from training.builds.services import delete_model
from training.removal import delete_organization


class DeletedOneByOne(admin.ModelAdmin):  # type: ignore[type-arg]
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            self.delete_model(request, row)


@admin.register(Organization)
class DeletableOrganizationAdmin(DeletedOneByOne, OrganizationAdmin):
    def delete_model(self, request: HttpRequest, obj: Organization) -> None:
        assert isinstance(request.user, User)
        delete_organization(actor=request.user, org=obj)


@admin.register(CustomModel)
class DeletableModelAdmin(DeletedOneByOne, CustomModelAdmin):
    def delete_model(self, request: HttpRequest, obj: CustomModel) -> None:
        assert isinstance(request.user, User)
        delete_model(actor=request.user, model=obj)


@admin.register(models.TrainingRun)
class TrainingRunAdmin(ReadOnly, JobActions):
    list_display = ["model", "org", "job_state", "done", "error", "version", "took", "created_at"]
    list_filter = ["job__state", "job__error_code", "model__base", "created_at"]
    list_select_related = ["org", "job", "model", "version__model"]
    search_fields = ["id", "job__id", "model__name", "model__slug", "org__name", "job__error_text"]
    date_hierarchy = "created_at"

    @admin.display(description="Done")
    def done(self, run: models.TrainingRun) -> str:
        return f"{run.job.percent} %" if run.job.progress else "–"

    @admin.display(description="Error")
    def error(self, run: models.TrainingRun) -> str:
        return run.job.error_code or "–"

    @admin.display(description="Took")
    def took(self, run: models.TrainingRun) -> str:
        return f"{run.job.seconds:.0f} s" if run.job.started_at else "–"


class EvaluationScoreInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    model = models.EvaluationScore


@admin.register(models.EvaluationRun)
class EvaluationRunAdmin(ReadOnly, JobActions):
    list_display = ["version", "org", "job_state", "metric", "test_count", "verdict", "created_at"]
    list_filter = ["verdict", "metric", "job__state", "test_origin", "created_at"]
    list_select_related = ["org", "job", "version__model"]
    search_fields = ["id", "job__id", "model__name", "model__slug", "org__name"]
    date_hierarchy = "created_at"
    inlines = [EvaluationScoreInline]


@admin.register(models.UploadedFile)
class UploadedFileAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["filename", "org", "purpose", "status", "row_count", "bytes", "created_at"]
    list_filter = ["purpose", "status", "created_at"]
    list_select_related = ["org"]
    search_fields = ["id", "filename", "org__name", "sha256"]
    date_hierarchy = "created_at"


@admin.register(models.FineTuningRequest)
class FineTuningRequestAdmin(ReadOnly, JobActions):
    list_display = ["model", "org", "job_state", "training_file", "seed", "created_at"]
    list_filter = ["job__state", "model__base", "created_at"]
    list_select_related = ["org", "job", "model"]
    search_fields = ["id", "job__id", "model__name", "model__slug", "org__name", "training_file"]
    date_hierarchy = "created_at"


@admin.register(models.Export)
class ExportAdmin(ReadOnly, JobActions):
    list_display = [
        "version", "org", "job_state", "certified", "size", "expires_at", "created_at",
    ]  # fmt: skip
    list_filter = ["job__state", "job__error_code", "created_at"]
    list_select_related = ["org", "job", "version__model"]
    search_fields = ["id", "job__id", "version__model__name", "org__name"]

    @admin.display(description="Certificate")
    def certified(self, export: models.Export) -> str:
        return str(export.certificate.get("verdict") or "–")

    @admin.display(description="Size", ordering="file_bytes")
    def size(self, export: models.Export) -> str:
        return filesizeformat(export.file_bytes) if export.file_bytes else "–"


@admin.register(models.ExportPush)
class ExportPushAdmin(ReadOnly, JobActions):
    list_display = ["repo_id", "org", "job_state", "is_private", "commit", "created_at"]
    list_filter = ["job__state", "job__error_code", "created_at"]
    list_select_related = ["org", "job"]
    search_fields = ["id", "job__id", "repo_id", "org__name"]
    exclude = ["token"]
