"""Jobs for operators: find them, read their whole story, cancel or requeue them."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from modelstation.core import jobs
from modelstation.core.errors import UserFacingError
from modelstation.core.models import Job, JobEvent, QueueHealth


class ReadOnly:
    """For rows that only jobs themselves may write."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class JobEventInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    model = JobEvent
    fields = ["at", "kind", "message", "operator_detail"]
    readonly_fields = fields


@admin.register(Job)
class JobAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = [
        "short_id",
        "kind",
        "org",
        "state",
        "stage",
        "done",
        "attempt",
        "crash_count",
        "error_code",
        "created_at",
        "took",
    ]
    list_filter = ["state", "kind", "queue", "error_code", "created_at"]
    list_select_related = ["org"]
    search_fields = ["id", "subject_id", "org__name", "org__slug", "error_text", "lease_owner"]
    date_hierarchy = "created_at"
    inlines = [JobEventInline]
    actions = ["cancel", "requeue"]

    @admin.display(description="Job", ordering="id")
    def short_id(self, job: Job) -> str:
        return f"…{str(job.id)[-8:]}"

    @admin.display(description="Done")
    def done(self, job: Job) -> str:
        return f"{job.percent} %" if job.progress else "–"

    @admin.display(description="Took")
    def took(self, job: Job) -> str:
        return f"{job.seconds:.0f} s" if job.started_at else "–"

    @admin.action(description="Cancel the selected jobs")
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, _cancel, done="cancelled, or asked to stop")

    @admin.action(description="Requeue the selected jobs")
    def requeue(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, jobs.requeue, done="queued again")

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[Job],
        deed: Callable[[Job], object],
        *,
        done: str,
    ) -> None:
        count = 0
        for job in queryset.select_related("org"):
            try:
                deed(job)
                count += 1
            except UserFacingError as error:
                self.message_user(request, f"{job}: {error.message} {error.hint}", messages.ERROR)
        if count:
            self.message_user(request, f"{count} {done}.", messages.SUCCESS)


def _cancel(job: Job) -> None:
    if not jobs.request_cancel(job):
        raise UserFacingError("This job has ended already.", code="ended")


@admin.register(QueueHealth)
class QueueHealthAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["queue", "seen_at"]
