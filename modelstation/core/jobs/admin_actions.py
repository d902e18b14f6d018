"""Admin actions on a job, or on a row that has one: cancel, pause, resume, queue it again."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from modelstation.core.errors import Busy, Conflict, UserFacingError
from modelstation.core.jobs import jobs
from modelstation.core.models import Job


class ReadOnly:
    """For rows that only jobs themselves may write."""

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
        self._each(request, queryset, _cancel, done="cancelled, or requested to stop")

    @admin.action(description="Pause the selected jobs")
    def pause(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._each(request, queryset, _pause, done="paused, or requested to")

    @admin.action(description="Resume the selected jobs")
    def resume(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._each(request, queryset, _resume, done="resumed")

    @admin.action(description="Requeue the selected jobs")
    def requeue(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._each(request, queryset, _requeue, done="queued again")

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        action: Callable[[Job], object],
        *,
        done: str,
    ) -> None:
        count = 0
        for job in self.jobs_of(queryset).select_related("org"):
            try:
                action(job)
                count += 1
            except UserFacingError as error:
                self.message_user(request, f"{job}: {error.message} {error.hint}", messages.ERROR)
        if count:
            self.message_user(request, f"{count} {done}.", messages.SUCCESS)


def _cancel(job: Job) -> None:
    if not jobs.request_cancel(job):
        raise UserFacingError("This job has ended already.", code="ended")


def _pause(job: Job) -> None:
    if not jobs.request_pause(job):
        raise Conflict("Only a job that waits or runs can be paused.", code="not_pausable")


def _resume(job: Job) -> None:
    if not jobs.resume(job):
        raise Conflict("This job is not paused.", code="not_paused")


def _requeue(job: Job) -> None:
    """Two jobs on one subject would work against each other."""
    if Job.objects.filter(subject_id=job.subject_id, state__in=Job.LIVE_STATES).exists():
        hint = "Cancel it first, or wait for its end."
        raise Busy("A job for this is queued or running.", code="still_running", hint=hint)
    jobs.requeue(job)
