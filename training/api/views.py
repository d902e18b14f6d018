"""/api/v1/runs and /api/v1/evaluations."""

import json
import uuid
from itertools import islice
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import request_org, request_user
from models_app import services as model_services
from modelstation.core.api import id_of, number_of
from modelstation.core.errors import UserFacingError
from training.access import evaluation_for, training_run_for
from training.api import serializers
from training.models import EvaluationRun, TrainingRun

MODEL = OpenApiParameter("model", OpenApiTypes.UUID, description="Only those of this model.")
AFTER_STEP = OpenApiParameter(
    "after_step", OpenApiTypes.INT, description="Only points of later steps."
)
AFTER = OpenApiParameter("after", OpenApiTypes.INT, description="How many rows to pass over.")
LIMIT = OpenApiParameter("limit", OpenApiTypes.INT, description="At most 200.")


@extend_schema(parameters=[MODEL])
class RunsView(generics.ListAPIView[TrainingRun]):
    serializer_class = serializers.RunSummarySerializer

    def get_queryset(self) -> QuerySet[TrainingRun]:
        runs: QuerySet[TrainingRun] = TrainingRun.objects.for_org(request_org(self.request))
        model_id = id_of(self.request, "model")
        runs = runs.filter(model_id=model_id) if model_id else runs
        return runs.select_related("job").defer("asked_config", "resolved_config", "facts")


class RunView(APIView):
    @extend_schema(parameters=[AFTER_STEP], responses=serializers.RunSerializer)
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        return Response(_shown(training_run_for(request_org(request), run_id), request))


class RunCancelView(APIView):
    @extend_schema(request=None, responses=serializers.RunSerializer)
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        """Stop the training. It ends within seconds."""
        run = training_run_for(request_org(request), run_id)
        if not run.job.is_live:
            raise UserFacingError("This run has ended already.", code="not_building")
        model_services.cancel_build(actor=request_user(request), model=run.model)
        run = training_run_for(request_org(request), run_id)
        return Response(_shown(run, request))


@extend_schema(parameters=[MODEL])
class EvaluationsView(generics.ListAPIView[EvaluationRun]):
    serializer_class = serializers.EvaluationSummarySerializer

    def get_queryset(self) -> QuerySet[EvaluationRun]:
        evaluations: QuerySet[EvaluationRun] = EvaluationRun.objects.for_org(
            request_org(self.request)
        )
        model_id = id_of(self.request, "model")
        evaluations = evaluations.filter(model_id=model_id) if model_id else evaluations
        return evaluations.defer("criteria")


class EvaluationView(APIView):
    @extend_schema(responses=serializers.EvaluationSerializer)
    def get(self, request: Request, evaluation_id: uuid.UUID) -> Response:
        evaluation = evaluation_for(request_org(request), evaluation_id)
        return Response(serializers.EvaluationSerializer(evaluation).data)


class EvaluationRowsView(APIView):
    @extend_schema(parameters=[AFTER, LIMIT], responses=serializers.EvaluationRowsSerializer)
    def get(self, request: Request, evaluation_id: uuid.UUID) -> Response:
        """What base and tuned model answered to each held-out row."""
        evaluation = evaluation_for(request_org(request), evaluation_id)
        after, limit = number_of(request, "after", 0), number_of(request, "limit", 50, most=200)
        rows = _rows(evaluation, after, limit + 1)
        more = after + limit if len(rows) > limit else None
        return Response({"results": rows[:limit], "next_after": more})


def _rows(evaluation: EvaluationRun, after: int, limit: int) -> list[dict[str, Any]]:
    """Lines of the report's rows.jsonl; none before the evaluation has ended."""
    path = settings.ARTIFACTS_DIR / evaluation.folder / "rows.jsonl"
    if not evaluation.folder or not path.is_file():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in islice(lines, after, after + limit)]


def _shown(run: TrainingRun, request: Request) -> dict[str, Any]:
    points = run.points.all()
    if "after_step" in request.query_params:
        points = points.filter(step__gt=number_of(request, "after_step", 0))
    run.points_shown = points  # type: ignore[attr-defined]
    return dict(serializers.RunSerializer(run).data)
