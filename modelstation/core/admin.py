"""Jobs for operators: find them, read their whole story, cancel or requeue them."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from modelstation.core.jobs.admin_actions import JobActions, ReadOnly
from modelstation.core.models import Job, JobEvent, QueueHealth

EVENT_FIELDS = ("at", "kind", "message", "operator_detail")


class JobEventInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    model = JobEvent
    fields = EVENT_FIELDS
    readonly_fields = EVENT_FIELDS

    def get_queryset(self, request: HttpRequest) -> QuerySet[JobEvent]:
        """Without the points of its curves, of which a long run has tens of thousands."""
        return super().get_queryset(request).exclude(kind=JobEvent.Kind.METRICS)


@admin.register(Job)
class JobAdmin(ReadOnly, JobActions):
    list_display = [
        "short_id", "kind", "org", "state", "stage", "done", "attempt", "crash_count",
        "error_code", "created_at", "took",
    ]  # fmt: skip
    list_filter = ["state", "kind", "queue", "error_code", "created_at"]
    list_select_related = ["org"]
    search_fields = ["id", "subject_id", "org__name", "org__slug", "error_text", "lease_owner"]
    date_hierarchy = "created_at"
    inlines = [JobEventInline]

    @admin.display(description="Job", ordering="id")
    def short_id(self, job: Job) -> str:
        return f"…{str(job.id)[-8:]}"

    @admin.display(description="Done")
    def done(self, job: Job) -> str:
        return f"{job.percent} %" if job.progress else "–"

    @admin.display(description="Took")
    def took(self, job: Job) -> str:
        return f"{job.seconds:.0f} s" if job.started_at else "–"

    def jobs_of(self, queryset: QuerySet[Job]) -> QuerySet[Job]:
        return queryset


@admin.register(QueueHealth)
class QueueHealthAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["queue", "seen_at"]
