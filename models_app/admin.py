"""Operators look at models here; what changes them goes through their pages or the API."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from models_app import models
from modelstation.core.jobs.admin_actions import JobActions, ReadOnly


@admin.register(models.FoundationModel)
class FoundationModelAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows mirror the catalogue; a base gets here by a fetch."""

    list_display = [
        "name", "hub_id", "architecture", "license", "parameters", "context", "download_bytes",
        "is_installed",
    ]  # fmt: skip
    list_filter = ["is_installed", "architecture", "license"]
    search_fields = ["name", "hub_id"]


@admin.register(models.BaseFetch)
class BaseFetchAdmin(ReadOnly, JobActions):
    list_display = ["base", "org", "job_state", "created_by", "created_at"]
    list_filter = ["job__state", "created_at"]
    list_select_related = ["org", "job", "base", "created_by"]
    search_fields = ["base__name", "org__name", "org__slug"]
    date_hierarchy = "created_at"


class CustomModelAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Registered in training.admin, which knows how to delete a model with all that is its own."""

    list_display = [
        "name", "org", "status", "base", "rows", "created_by", "created_at", "updated_at",
    ]  # fmt: skip
    list_filter = ["status", "base", "metric", "created_at"]
    list_select_related = ["org", "base", "created_by"]
    search_fields = ["name", "slug", "requirement", "org__name", "org__slug", "created_by__email"]
    date_hierarchy = "created_at"
    raw_id_fields = ["org", "created_by"]
    # What is live and what is promised change by their actions alone, which keep the history.
    readonly_fields = [
        "id", "status", "status_reason", "live_version", "success_criteria", "metric", "test_rows",
        "contract", "contract_frozen_at", "created_at", "updated_at",
    ]  # fmt: skip

    def has_add_permission(self, request: HttpRequest) -> bool:
        """One without a contract would be no model; operators build in an organisation's pages."""
        return False

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """Show the models alone: what belongs to them is read-only here, and goes by the same
        action as on their own pages, files and running work included.
        """
        line = "{} of {}, with its datasets, versions, exports and files; its work is stopped"
        listed = [line.format(model, model.org) for model in objs]
        return listed, {"models": len(listed)}, set(), []


@admin.register(models.ModelVersion)
class ModelVersionAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """A version is frozen: every field is for reading."""

    list_display = [
        "__str__", "org", "state", "verdict", "base", "tuned_score", "base_score", "created_at",
    ]  # fmt: skip
    list_filter = ["state", "base", "created_at"]
    list_select_related = ["org", "model", "base"]
    search_fields = ["model__name", "model__slug", "org__name", "dataset_digest"]
    date_hierarchy = "created_at"

    @admin.display(description="Verdict")
    def verdict(self, version: models.ModelVersion) -> str:
        return str(version.scores.get("verdict") or "–")

    @admin.display(description="Tuned")
    def tuned_score(self, version: models.ModelVersion) -> str:
        return _score(version, "tuned")

    @admin.display(description="Base score")
    def base_score(self, version: models.ModelVersion) -> str:
        return _score(version, "base")


@admin.register(models.Promotion)
class PromotionAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """The history of what was live: append-only."""

    list_display = ["version", "org", "kind", "actor", "verdict", "override_reason", "created_at"]
    list_filter = ["kind", "verdict", "created_at"]
    list_select_related = ["org", "version__model", "actor"]
    search_fields = ["model__name", "model__slug", "org__name", "override_reason"]
    date_hierarchy = "created_at"


@admin.register(models.UsageRecord)
class UsageRecordAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """What may be billed: nobody edits or deletes it."""

    list_display = [
        "model", "org", "version", "token", "prompt_tokens", "cached_tokens", "completion_tokens",
        "milliseconds", "created_at",
    ]  # fmt: skip
    list_filter = ["created_at"]
    list_select_related = ["org", "version__model", "token"]
    search_fields = ["model", "token__name", "org__name", "org__slug"]
    date_hierarchy = "created_at"


@admin.register(models.StoredCompletion)
class StoredCompletionAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """That answers are stored, and for whom; what was said is the organisation's own."""

    list_display = ["completion_id", "name", "org", "version", "created_at"]
    list_filter = ["created_at"]
    list_select_related = ["org", "version__model"]
    search_fields = ["completion_id", "name", "org__name", "org__slug"]
    date_hierarchy = "created_at"
    exclude = ["messages", "choices"]


@admin.register(models.UsageLimit)
class UsageLimitAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What one organisation may use; what is left empty is as the settings say."""

    list_display = ["org", "requests_per_minute", "tokens_per_day"]
    list_select_related = ["org"]
    search_fields = ["org__name", "org__slug"]
    autocomplete_fields = ["org"]


@admin.register(models.WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["__str__", "org", "is_enabled", "failing_since", "created_at"]
    list_filter = ["is_enabled", "created_at"]
    list_select_related = ["org"]
    search_fields = ["url", "org__name", "org__slug"]
    exclude = ["secret", "old_secret"]


@admin.register(models.WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["type", "org", "endpoint", "state", "attempts", "status_code", "created_at"]
    list_filter = ["state", "type", "created_at"]
    list_select_related = ["org", "endpoint"]
    search_fields = ["event_id", "endpoint__url", "org__name", "org__slug"]


def _score(version: models.ModelVersion, subject: str) -> str:
    score = version.scores.get(subject, {}).get("score")
    return "–" if score is None else f"{score:.3f}"
