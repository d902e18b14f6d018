"""Pages of teachers: the organisation's list, each teacher, and what it does for a model."""

import uuid
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import enter, manages, org_for
from accounts.models import Membership, Role
from distillation.access import own_teacher_for, teacher_for, teacher_run_for
from distillation.models import Teacher, TeacherRun
from distillation.teachers import services
from distillation.teachers.forms import RunForm, TeacherForm
from models_app.access import model_for
from models_app.forms import add_refusal
from models_app.models import CustomModel
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs.health import problems
from modelstation.core.models import Job

RUNS_SHOWN = 10


@sensitive_post_parameters("api_key")
@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def teachers(request: HttpRequest, org: str) -> HttpResponse:
    is_post = request.method == "POST"
    membership = enter(request, org, role=Role.ADMIN if is_post else Role.MEMBER)
    form = TeacherForm(request.POST or None)
    if is_post and form.is_valid():
        try:
            made = services.create_teacher(
                actor=membership.user, org=membership.org, **form.changes()
            )
            return redirect(reverse("teacher", args=[org, made.id]) + _back_query(request))
        except UserFacingError as error:
            add_refusal(form, error)
    listed = Teacher.objects.visible_to(membership.org).select_related("base")
    context = {"teachers": listed, "form": form, "manages": manages(membership)}
    context["asking"] = _asking(request, membership)
    return render(request, "distillation/teachers.html", context)


@sensitive_post_parameters("api_key")
@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def teacher(request: HttpRequest, org: str, teacher_id: uuid.UUID) -> HttpResponse:
    if request.method == "GET":
        membership = enter(request, org)
        return _teacher_page(request, membership, teacher_for(membership.org, teacher_id))
    membership = enter(request, org, role=Role.ADMIN)
    changed = own_teacher_for(membership.org, teacher_id)
    form = TeacherForm(request.POST, teacher=changed)
    if form.is_valid():
        try:
            actor, changes = membership.user, form.changes()
            services.change_teacher(actor=actor, org=membership.org, teacher=changed, **changes)
            messages.success(request, "Saved.")
            return redirect(reverse("teacher", args=[org, teacher_id]) + _back_query(request))
        except UserFacingError as error:
            add_refusal(form, error)
    unchanged = own_teacher_for(membership.org, teacher_id)
    return _teacher_page(request, membership, unchanged, form)


@login_required
@require_POST
def teacher_test(request: HttpRequest, org: str, teacher_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org, role=Role.ADMIN)
    result = services.check_connection(teacher_for(membership.org, teacher_id))
    (messages.success if result.is_ok else messages.error)(request, result.message)
    return redirect(reverse("teacher", args=[org, teacher_id]) + _back_query(request))


@login_required
@require_POST
def teacher_delete(request: HttpRequest, org: str, teacher_id: uuid.UUID) -> HttpResponse:
    membership = enter(request, org, role=Role.ADMIN)
    gone = own_teacher_for(membership.org, teacher_id)
    try:
        services.delete_teacher(actor=membership.user, org=membership.org, teacher=gone)
    except UserFacingError as error:
        messages.error(request, error.text)
        return redirect("teacher", org, teacher_id)
    messages.success(request, "The teacher was deleted, its key with it. Its rows stay.")
    return redirect("teachers", org)


@login_required
@require_http_methods(["GET", "POST"])
def teacher_runs(request: HttpRequest, org: str, model_id: uuid.UUID) -> HttpResponse:
    """Choose what a teacher does for the model; its estimate is shown before it is confirmed."""
    membership = enter(request, org)
    model = model_for(membership.org, model_id)
    form = RunForm(request.POST or None, org=membership.org)
    context: dict[str, Any] = {"model": model, "form": form, "manages": manages(membership)}
    if request.method == "POST" and form.is_valid():
        chosen, draft = form.cleaned_data["teacher"], form.draft
        try:
            if "confirm" in request.POST:
                run = services.start_run(
                    actor=membership.user, model=model, teacher=chosen, draft=draft
                )
                return redirect("teacher_run", org, model.id, run.id)
            context["estimate"] = services.estimate_run(teacher=chosen, model=model, draft=draft)
            context["chosen"] = chosen
        except UserFacingError as error:
            add_refusal(form, error)
    context |= _runs_so_far(model)
    return render(request, "distillation/teacher_runs.html", context)


@login_required
@require_GET
def teacher_run(
    request: HttpRequest, org: str, model_id: uuid.UUID, teacher_run_id: uuid.UUID
) -> HttpResponse:
    run = teacher_run_for(model_for(org_for(request, org), model_id), teacher_run_id)
    return render(request, "distillation/teacher_run.html", _state(run))


@login_required
@require_GET
def teacher_run_live(
    request: HttpRequest, org: str, model_id: uuid.UUID, teacher_run_id: uuid.UUID
) -> HttpResponse:
    """Show what changes while it works; it requests itself again until the run has ended."""
    run = teacher_run_for(model_for(org_for(request, org), model_id), teacher_run_id)
    return render(request, "distillation/_teacher_run.html", _state(run))


@login_required
@require_POST
def teacher_run_cancel(
    request: HttpRequest, org: str, model_id: uuid.UUID, teacher_run_id: uuid.UUID
) -> HttpResponse:
    membership, run = _own_run(request, org, model_id, teacher_run_id)
    if not services.cancel_run(actor=membership.user, run=run):
        messages.info(request, "This run had ended already.")
    return redirect("teacher_run", org, model_id, teacher_run_id)


@login_required
@require_POST
def teacher_run_go_on(
    request: HttpRequest, org: str, model_id: uuid.UUID, teacher_run_id: uuid.UUID
) -> HttpResponse:
    """Go on with a run that failed, or, with `rows_so_far`, use what was answered until then."""
    membership, run = _own_run(request, org, model_id, teacher_run_id)
    try:
        services.go_on(actor=membership.user, run=run, is_closing="rows_so_far" in request.POST)
    except UserFacingError as error:
        messages.error(request, error.text)
    return redirect("teacher_run", org, model_id, teacher_run_id)


# --- helpers --------------------------------------------------------------------------------------


def _own_run(
    request: HttpRequest, org: str, model_id: uuid.UUID, teacher_run_id: uuid.UUID
) -> tuple[Membership, TeacherRun]:
    membership = enter(request, org)
    return membership, teacher_run_for(model_for(membership.org, model_id), teacher_run_id)


def _asking(request: HttpRequest, membership: Membership) -> CustomModel | None:
    """Return the model from whose page the user came to set up a teacher, named by `?model=`."""
    try:
        return model_for(membership.org, uuid.UUID(request.GET.get("model", "")))
    except (ValueError, Http404):
        return None


def _back_query(request: HttpRequest) -> str:
    model = request.GET.get("model", "")
    return f"?{urlencode({'model': model})}" if model else ""


def _runs_so_far(model: CustomModel) -> dict[str, Any]:
    runs: Any = TeacherRun.objects.filter(model=model).select_related("job")
    has_teachers = Teacher.objects.visible_to(model.org).exists()
    return {"runs": runs[:RUNS_SHOWN], "has_teachers": has_teachers}


def _teacher_page(
    request: HttpRequest,
    membership: Membership,
    teacher: Teacher,
    form: TeacherForm | None = None,
) -> HttpResponse:
    may_change = manages(membership) and teacher.org_id == membership.org.pk
    context = {
        "teacher": teacher,
        "form": form or TeacherForm(teacher=teacher),
        "manages": manages(membership),
        "may_change": may_change,
        "asking": _asking(request, membership),
    }
    return render(request, "distillation/teacher.html", context)


def _state(run: TeacherRun) -> dict[str, Any]:
    model: CustomModel = run.model
    waits = run.job is not None and run.job.state == Job.State.QUEUED
    return {
        "run": run,
        "job": run.job,
        "model": model,
        "spent": run.spent,
        "problems": problems(["distil"]) if waits else [],
    }
