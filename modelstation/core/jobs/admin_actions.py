"""Admin actions on a job, or on a row that has one: cancel, pause, resume, queue it again."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from modelstation.core.jobs import jobs
from modelstation.core.models import Job

Action = Callable[[Job], bool]


class ReadOnly:
    """For rows whose truth is made elsewhere: to look at, never to change."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class JobActions(admin.ModelAdmin):  # type: ignore[type-arg]
    actions = ["cancel", "pause", "resume", "requeue"]

    def jobs_of(self, queryset: QuerySet[Any]) -> QuerySet[Job]:
        return Job.objects.filter(id__in=queryset.values("job"))

    @admin.display(description="State", ordering="job__state")
    def job_state(self, row: Any) -> str:
        return str(row.job.state) if row.job else "–"

    @admin.action(description="Cancel the selected jobs")
    def cancel(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        done, refusal = "cancelled, or requested to stop", "This job has ended already."
        self._each(request, queryset, jobs.request_cancel, done, refusal)

    @admin.action(description="Pause the selected jobs")
    def pause(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        done, refusal = "paused, or requested to", "Only a job that waits or runs can be paused."
        self._each(request, queryset, jobs.request_pause, done, refusal)

    @admin.action(description="Resume the selected jobs")
    def resume(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._each(request, queryset, jobs.resume, "resumed", "This job is not paused.")

    @admin.action(description="Requeue the selected jobs")
    def requeue(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        refusal = "A job for this is queued or running. Cancel it first, or wait for its end."
        self._each(request, queryset, _requeue, "queued again", refusal)

    def _each(
        self, request: HttpRequest, rows: QuerySet[Any], action: Action, done: str, refusal: str
    ) -> None:
        count = 0
        for job in self.jobs_of(rows).select_related("org"):
            if action(job):
                count += 1
            else:
                self.message_user(request, f"{job}: {refusal}", messages.ERROR)
        if count:
            self.message_user(request, f"{count} {done}.", messages.SUCCESS)


def _requeue(job: Job) -> bool:
    """Two jobs on one subject would work against each other."""
    if Job.objects.filter(subject_id=job.subject_id, state__in=Job.LIVE_STATES).exists():
        return False
    jobs.requeue(job)
    return True
