"""/api/v1/models/{id}/training-plan: what a training would use and cost, and its start."""

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_org, request_user
from models_app.access import model_for
from models_app.api.serializers import JobSerializer
from models_app.models import CustomModel
from modelstation.core.web.api import StrictSerializer
from training.builds.services import train_again
from training.plan.estimate.estimates import Estimate
from training.plan.services import Plan, dataset_or_draft, plan_for
from training.recipes.config import Settings
from training.runs import services


class StartRequestSerializer(StrictSerializer):
    """`config` holds the settings that are requested; left out, those saved with the model."""

    config = serializers.DictField(required=False)


class PlanRequestSerializer(StartRequestSerializer):
    keep = serializers.BooleanField(default=False, help_text="Save them for the next build.")


class PlanBandSerializer(serializers.Serializer[Any]):
    low = serializers.FloatField()
    expected = serializers.FloatField()
    high = serializers.FloatField()


class PlanRefusalSerializer(serializers.Serializer[Any]):
    code = serializers.ChoiceField(
        ["invalid", "not_enough_data", "does_not_fit", "not_enough_disk", "over_budget"]
    )
    message = serializers.CharField()
    hint = serializers.CharField()


class TrainingEstimateSerializer(serializers.Serializer[Estimate]):
    """`minutes` are from the worker's start to the last artifact; `unbudgeted_steps` are those
    without `max_minutes` and `max_tokens`.
    """

    rows = serializers.IntegerField()
    rows_left_out = serializers.IntegerField()
    tokens = serializers.IntegerField()
    answer_tokens = serializers.IntegerField()
    steps = serializers.IntegerField()
    unbudgeted_steps = serializers.IntegerField()
    seconds_per_step = serializers.FloatField()
    minutes = PlanBandSerializer()
    seconds_by_stage = serializers.DictField(child=serializers.FloatField(), allow_null=True)
    memory_bytes = PlanBandSerializer()
    memory_by_part = serializers.DictField(child=serializers.FloatField(), allow_null=True)
    disk_bytes = serializers.IntegerField()


class PlanMachineSerializer(serializers.Serializer[Any]):
    """Where it would run; rates are operations a second of its best matrix product."""

    host = serializers.CharField()
    is_measured = serializers.BooleanField()
    cores = serializers.IntegerField()
    bf16_flops = serializers.FloatField()
    fp32_flops = serializers.FloatField()
    memory_bytes = serializers.IntegerField()
    available_bytes = serializers.IntegerField()
    disk_free = serializers.IntegerField()
    gpu = serializers.CharField()
    gpu_memory_bytes = serializers.IntegerField()


class TrainingPlanSerializer(serializers.Serializer[Plan]):
    """`reasons` has a sentence for each of `resolved`; any of `refusals` keeps it from starting."""

    dataset = serializers.UUIDField(source="dataset.id", allow_null=True, default=None)
    asked = serializers.DictField(source="requested")
    resolved = serializers.DictField()
    reasons = serializers.DictField(child=serializers.CharField())
    estimate = TrainingEstimateSerializer()
    refusals = PlanRefusalSerializer(many=True)
    student = serializers.CharField(
        source="student.kind",
        help_text="generator or encoder; settings and estimate are always a generator's.",
    )
    student_reason = serializers.CharField(source="student.reason")
    notes = serializers.ListField(child=serializers.CharField(), source="estimate.notes")
    machine = PlanMachineSerializer()


class TrainingPlanView(APIView):
    @extend_schema(responses=TrainingPlanSerializer)
    def get(self, request: Request, model_id: uuid.UUID) -> Response:
        """With the settings saved with the model, on its newest dataset."""
        model = model_for(request_org(request), model_id)
        return _shown(model, model.training_config)

    @extend_schema(request=PlanRequestSerializer, responses=TrainingPlanSerializer)
    def post(self, request: Request, model_id: uuid.UUID) -> Response:
        """With other settings. Nothing is started; with `keep`, the next build uses them."""
        model = model_for(request_org(request), model_id)
        given = PlanRequestSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        requested = given.validated_data.get("config", model.training_config)
        if given.validated_data["keep"]:
            services.save_plan(actor=request_user(request), model=model, requested=requested)
        return _shown(model, requested)


class TrainingPlanStartView(APIView):
    @extend_schema(request=StartRequestSerializer, responses={202: JobSerializer})
    def post(self, request: Request, model_id: uuid.UUID) -> Response:
        """Train again on the newest frozen dataset; what cannot be done is refused, not queued."""
        model = model_for(request_org(request), model_id)
        given = StartRequestSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        requested = given.validated_data.get("config", model.training_config)
        job = train_again(actor=request_user(request), model=model, requested=requested)
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)


def _shown(model: CustomModel, requested: Settings) -> Response:
    plan = plan_for(model, requested, dataset=dataset_or_draft(model))
    return Response(TrainingPlanSerializer(plan).data)
