"""/api/v1/teachers and /api/v1/models/{id}/teacher-runs: large models that give rows."""

import uuid
from functools import partial
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_membership, request_org
from accounts.models import Membership, Organization, Role
from distillation.access import own_teacher_for, source_for, teacher_for, teacher_run_for
from distillation.models import Teacher, TeacherRun
from distillation.teachers import services
from distillation.teachers.rows import MOST_AT_ONCE, MOST_COUNTED
from distillation.teachers.services import MOST_INPUTS, MOST_ROWS, Budget, RunDraft
from models_app.access import model_for
from models_app.api.idempotency import made_once
from models_app.api.shapes import IDEMPOTENCY_KEY, valid
from models_app.models import FoundationModel
from modelstation.core.web.api import Choice, StrictSerializer

PRICE: dict[str, Any] = {
    "max_digits": 12, "decimal_places": 6, "min_value": 0, "required": False,
}  # fmt: skip


class TeacherDraftSerializer(StrictSerializer):
    """An endpoint needs `base_url` and `model_name`; a base of this installation needs `base`."""

    name = serializers.CharField(max_length=80)
    kind = Choice(Teacher.Kind.choices, required=False)
    base_url = serializers.CharField(max_length=500, required=False, allow_blank=True)
    model_name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    api_key = serializers.CharField(
        max_length=400, required=False, allow_blank=True, write_only=True,
        help_text="Kept encrypted, never returned. Empty: none.",
    )  # fmt: skip
    base = serializers.PrimaryKeyRelatedField(
        queryset=FoundationModel.objects.filter(is_installed=True), required=False, allow_null=True
    )
    prompt_price = serializers.DecimalField(**PRICE, help_text="Of a million tokens.")
    completion_price = serializers.DecimalField(**PRICE)
    currency = serializers.RegexField(r"^[A-Z]{3}$", required=False)
    requests_per_minute = serializers.IntegerField(min_value=1, max_value=100_000, required=False)
    max_concurrent = serializers.IntegerField(min_value=1, max_value=MOST_AT_ONCE, required=False)
    terms = serializers.CharField(max_length=2000, required=False, allow_blank=True)


class TeacherChangesSerializer(TeacherDraftSerializer):
    """What is left out stays. Another `base_url` needs its key anew."""

    name = serializers.CharField(max_length=80, required=False)


class TeacherSerializer(serializers.ModelSerializer[Teacher]):
    has_key = serializers.BooleanField(read_only=True)
    is_own = serializers.SerializerMethodField(
        help_text="False: the operator lends it to all; only they change it."
    )

    class Meta:
        model = Teacher
        fields = [
            "id", "name", "kind", "base_url", "model_name", "base", "has_key", "is_own",
            "prompt_price", "completion_price", "currency", "requests_per_minute",
            "max_concurrent", "terms", "created_at",
        ]  # fmt: skip

    def get_is_own(self, teacher: Teacher) -> bool:
        return teacher.org_id is not None


class ConnectionSerializer(serializers.Serializer[services.ConnectionTest]):
    is_ok = serializers.BooleanField()
    message = serializers.CharField()
    models = serializers.ListField(child=serializers.CharField())


class TeachersView(generics.ListAPIView[Teacher]):
    serializer_class = TeacherSerializer

    def get_queryset(self) -> QuerySet[Teacher]:
        return Teacher.objects.visible_to(request_org(self.request))

    @extend_schema(
        request=TeacherDraftSerializer,
        responses={201: TeacherSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request) -> Response:
        """Add a teacher. Its address must be on the public internet, unless the operator allows
        others."""
        caller = request_membership(request, role=Role.ADMIN)
        return made_once(request, partial(self._create, caller, request), said=request.data)

    def _create(self, caller: Membership, request: Request) -> dict[str, Any]:
        fields = valid(TeacherDraftSerializer(data=request.data))
        return _plain(services.create_teacher(actor=caller.user, org=caller.org, **fields))


class TeacherView(APIView):
    @extend_schema(responses=TeacherSerializer)
    def get(self, request: Request, teacher_id: uuid.UUID) -> Response:
        return Response(TeacherSerializer(teacher_for(request_org(request), teacher_id)).data)

    @extend_schema(request=TeacherChangesSerializer, responses=TeacherSerializer)
    def patch(self, request: Request, teacher_id: uuid.UUID) -> Response:
        caller = request_membership(request, role=Role.ADMIN)
        teacher = own_teacher_for(caller.org, teacher_id)
        changes = valid(TeacherChangesSerializer(data=request.data))
        changed = services.change_teacher(
            actor=caller.user, org=caller.org, teacher=teacher, **changes
        )
        return Response(TeacherSerializer(changed).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, teacher_id: uuid.UUID) -> Response:
        """Delete it, and its key. Rows that it gave stay."""
        caller = request_membership(request, role=Role.ADMIN)
        teacher = own_teacher_for(caller.org, teacher_id)
        services.delete_teacher(actor=caller.user, org=caller.org, teacher=teacher)
        return Response(status=status.HTTP_204_NO_CONTENT)


class TeacherTestView(APIView):
    @extend_schema(request=None, responses=ConnectionSerializer)
    def post(self, request: Request, teacher_id: uuid.UUID) -> Response:
        """Look at its models and send one tiny request: at most twenty seconds."""
        caller = request_membership(request, role=Role.ADMIN)
        result = services.check_connection(teacher_for(caller.org, teacher_id))
        return Response(ConnectionSerializer(result).data)


class BudgetSerializer(StrictSerializer):
    """What is left out is twice the estimate."""

    requests = serializers.IntegerField(min_value=1, max_value=MOST_COUNTED, required=False)
    tokens = serializers.IntegerField(min_value=1, max_value=MOST_COUNTED, required=False)
    cost = serializers.DecimalField(**PRICE)


class RunDraftSerializer(StrictSerializer):
    """`inputs` are for label, `source` for rewrite and judge. With `dry_run` only the estimate
    comes back, and nothing is sent."""

    teacher = serializers.UUIDField()
    action = Choice(TeacherRun.Action.choices, required=False)
    rows = serializers.IntegerField(min_value=1, max_value=MOST_ROWS, required=False)
    inputs = serializers.ListField(
        child=serializers.CharField(), max_length=MOST_INPUTS, required=False
    )
    source = serializers.UUIDField(required=False)  # type: ignore[assignment]
    seed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False)
    budget = BudgetSerializer(required=False)
    dry_run = serializers.BooleanField(required=False)


class TeacherEstimateSerializer(serializers.Serializer[Any]):
    requests = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    tokens = serializers.IntegerField()
    cost = serializers.CharField()
    minutes = serializers.FloatField()


class RefusedSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField()
    rows = serializers.IntegerField()
    samples = serializers.ListField(child=serializers.DictField(child=serializers.CharField()))


class SpentSerializer(serializers.Serializer[Any]):
    requests = serializers.IntegerField(help_text="Sent, those without an answer included.")
    answered = serializers.IntegerField()
    perhaps_paid = serializers.IntegerField(help_text="Sent, and no answer arrived.")
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cost = serializers.DecimalField(max_digits=12, decimal_places=6)


class TeacherRunSerializer(serializers.ModelSerializer[TeacherRun]):
    """`state` is the job's; `row_count` rows were accepted so far, the others are in `refused` by
    reason."""

    state = serializers.CharField(source="job.state", default="")
    error_code = serializers.CharField(source="job.error_code", default="")
    error = serializers.CharField(source="job.error_text", default="")
    estimate = TeacherEstimateSerializer()
    spent = SpentSerializer()
    refused = RefusedSerializer(many=True)

    class Meta:
        model = TeacherRun
        fields = [
            "id", "model", "teacher", "teacher_name", "action", "rows", "seed", "state",
            "error_code", "error", "note", "max_requests", "max_tokens", "max_cost", "currency",
            "estimate", "spent", "row_count", "refused", "flags", "source", "created_at",
        ]  # fmt: skip


class TeacherRunOrEstimateSerializer(serializers.Serializer[Any]):
    """One of the two."""

    estimate = TeacherEstimateSerializer(required=False)
    run = TeacherRunSerializer(required=False)


class TeacherRunsView(generics.ListAPIView[TeacherRun]):
    serializer_class = TeacherRunSerializer

    def get_queryset(self) -> QuerySet[TeacherRun]:
        model = model_for(request_org(self.request), self.kwargs["model_id"])
        runs: QuerySet[TeacherRun] = model.teacher_runs.select_related("job")
        return runs

    @extend_schema(
        request=RunDraftSerializer,
        responses={201: TeacherRunOrEstimateSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, model_id: uuid.UUID) -> Response:
        """Have a teacher write, label, rewrite or judge rows; with `dry_run`, estimate it."""
        caller = request_membership(request)
        start = partial(self._start, caller, request, model_id)
        return made_once(request, start, said=request.data)

    def _start(self, caller: Membership, request: Request, model_id: uuid.UUID) -> dict[str, Any]:
        model = model_for(caller.org, model_id)
        said = valid(RunDraftSerializer(data=request.data))
        is_dry = said.pop("dry_run", False)
        teacher = teacher_for(caller.org, said.pop("teacher"))
        draft = _draft(caller.org, said)
        if is_dry:
            expected = services.estimate_run(teacher=teacher, model=model, draft=draft)
            return {"estimate": expected.to_json()}
        run = services.start_run(actor=caller.user, model=model, teacher=teacher, draft=draft)
        return {"run": _plain_run(run)}


class TeacherRunView(APIView):
    @extend_schema(responses=TeacherRunSerializer)
    def get(self, request: Request, model_id: uuid.UUID, teacher_run_id: uuid.UUID) -> Response:
        return Response(
            TeacherRunSerializer(_run(request_org(request), model_id, teacher_run_id)).data
        )


class TeacherRunCancelView(APIView):
    @extend_schema(request=None, responses=TeacherRunSerializer)
    def post(self, request: Request, model_id: uuid.UUID, teacher_run_id: uuid.UUID) -> Response:
        caller = request_membership(request)
        run = _run(caller.org, model_id, teacher_run_id)
        services.cancel_run(actor=caller.user, run=run)
        return Response(TeacherRunSerializer(_run(caller.org, model_id, teacher_run_id)).data)


class GoOnSerializer(StrictSerializer):
    rows_so_far = serializers.BooleanField(
        required=False, help_text="Send nothing more: use the rows that were answered."
    )


class TeacherRunGoOnView(APIView):
    @extend_schema(request=GoOnSerializer, responses=TeacherRunSerializer)
    def post(self, request: Request, model_id: uuid.UUID, teacher_run_id: uuid.UUID) -> Response:
        """Go on with a run that failed or was cancelled. Nothing answered is paid again."""
        caller = request_membership(request)
        said = valid(GoOnSerializer(data=request.data))
        run = services.go_on(
            actor=caller.user,
            run=_run(caller.org, model_id, teacher_run_id),
            is_closing=said.get("rows_so_far", False),
        )
        return Response(TeacherRunSerializer(run).data)


# --- helpers --------------------------------------------------------------------------------------


def _draft(org: Organization, said: dict[str, Any]) -> RunDraft:
    source = source_for(org, said.pop("source")) if "source" in said else None
    budget = Budget(**said.pop("budget", {}))
    inputs = tuple(said.pop("inputs", ()))
    return RunDraft(source=source, budget=budget, inputs=inputs, **said)


def _run(org: Organization, model_id: uuid.UUID, teacher_run_id: uuid.UUID) -> TeacherRun:
    return teacher_run_for(model_for(org, model_id), teacher_run_id)


def _plain(teacher: Teacher) -> dict[str, Any]:
    shown = TeacherSerializer(teacher).data
    return {**shown, "id": str(shown["id"])}


def _plain_run(run: TeacherRun) -> dict[str, Any]:
    """As plain JSON, for the answer that is kept under an idempotency key."""
    shown = dict(TeacherRunSerializer(run).data)
    ids = ("id", "model", "teacher", "source")
    return shown | {name: shown[name] and str(shown[name]) for name in ids}
