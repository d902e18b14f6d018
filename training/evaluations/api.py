"""/api/v1/evaluations, and /api/v1/versions/{id}/evaluate."""

import json
import uuid
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.views import APIView

from accounts.api.authentication import request_org, request_user
from models_app.access import version_for
from models_app.api.idempotency import made_once
from models_app.api.shapes import IDEMPOTENCY_KEY
from modelstation.core.web.api import id_of, number_of, page_size_of
from training.access import evaluation_for
from training.builds.services import evaluate_again
from training.evaluations.reports import answers_of, report_of
from training.models import EvaluationRun
from training.runs import serializers

MODEL = OpenApiParameter("model", OpenApiTypes.UUID, description="Only those of this model.")
VERSION = OpenApiParameter("version", OpenApiTypes.UUID, description="Only those of this version.")
AFTER = OpenApiParameter("after", OpenApiTypes.INT, description="How many rows to pass over.")
ROW_LIMIT = OpenApiParameter("limit", OpenApiTypes.INT, description="At most 200.")


@extend_schema(parameters=[MODEL, VERSION])
class EvaluationsView(generics.ListAPIView[EvaluationRun]):
    serializer_class = serializers.EvaluationSummarySerializer

    def get_queryset(self) -> QuerySet[EvaluationRun]:
        org = request_org(self.request)
        ids = {f"{name}_id": id_of(self.request, name) for name in ("model", "version")}
        given = {name: id for name, id in ids.items() if id}
        runs: QuerySet[EvaluationRun] = EvaluationRun.objects.for_org(org).filter(**given)
        return runs.defer("criteria", "live")


class EvaluationView(APIView):
    @extend_schema(responses=serializers.EvaluationSerializer)
    def get(self, request: Request, evaluation_id: uuid.UUID) -> Response:
        evaluation = evaluation_for(request_org(request), evaluation_id)
        return Response(serializers.EvaluationSerializer(evaluation).data)


class EvaluationReportView(APIView):
    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, evaluation_id: uuid.UUID) -> Response:
        """Return the whole report as written: criteria with intervals, `confusion` of labels,
        `fields` of JSON answers, `probes` against forgetting, `live`. `{}` before it has ended.
        """
        return Response(report_of(evaluation_for(request_org(request), evaluation_id)))


class EvaluationRowsView(APIView):
    @extend_schema(parameters=[AFTER, ROW_LIMIT], responses=serializers.EvaluationRowsSerializer)
    def get(self, request: Request, evaluation_id: uuid.UUID) -> Response:
        """List what base and tuned model answered to each held-out row."""
        evaluation = evaluation_for(request_org(request), evaluation_id)
        after, limit = number_of(request, "after", 0), page_size_of(request, 50, most=200)
        rows = answers_of(evaluation)
        more = after + limit if len(rows) > after + limit else None
        return Response({"results": rows[after : after + limit], "next_after": more})


class VersionEvaluateView(APIView):
    @extend_schema(
        request=None,
        responses={201: serializers.EvaluationSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, version_id: uuid.UUID) -> Response:
        """Measure this version again, against the frozen contract, beside what is live now. A pass
        does not replace the live version by itself: publish it then.
        """
        version = version_for(request_org(request), version_id)

        def measure() -> Any:
            run = evaluate_again(actor=request_user(request), version=version)
            shown = serializers.EvaluationSerializer(run).data
            return json.loads(json.dumps(shown, cls=JSONEncoder))  # plain values: they are kept

        def link_to(shown: dict[str, Any]) -> str:
            return str(reverse("api_evaluation", args=[shown["id"]], request=request))

        return made_once(request, measure, said=None, location=link_to)
