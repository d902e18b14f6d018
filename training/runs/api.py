"""/api/v1/runs."""

import uuid
from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from accounts.api.authentication import request_org, request_user
from models_app.api.serializers import EventSerializer
from modelstation.core.jobs.events import Story, stream_response
from modelstation.core.web.api import id_of, number_of, page_size_of
from modelstation.core.web.event_api import (
    EVENTS_A_PAGE,
    LAST_EVENT_ID,
    LIMIT,
    MOST_EVENTS,
    STREAM,
    STREAM_HELP,
    AnyAccept,
)
from training.access import training_run_for
from training.builds.services import requeue_run
from training.models import TrainingRun
from training.runs import serializers, services
from training.runs.curves import points_of

MODEL = OpenApiParameter("model", OpenApiTypes.UUID, description="Only those of this model.")
AFTER_STEP = OpenApiParameter("after_step", int, description="Only points of later steps.")
AFTER_SEQ = OpenApiParameter("after", int, description="Only events with a greater seq.")


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


class RunEventsView(APIView):
    @extend_schema(parameters=[AFTER_SEQ, LIMIT], responses=EventSerializer(many=True))
    def get(self, request: Request, run_id: uuid.UUID) -> Response:
        """List the story of the run, oldest first: go on `after` the last seq."""
        run = training_run_for(request_org(request), run_id)
        limit = page_size_of(request, EVENTS_A_PAGE, most=MOST_EVENTS)
        events = Story(job_id=run.job_id).after(number_of(request, "after", 0), limit)
        return Response(EventSerializer(events, many=True).data)


class RunStreamView(APIView):
    content_negotiation_class = AnyAccept

    @extend_schema(parameters=[AFTER_SEQ, LAST_EVENT_ID], responses=STREAM, description=STREAM_HELP)
    def get(self, request: Request, run_id: uuid.UUID) -> HttpResponseBase:
        org = request_org(request)
        story = Story(job_id=training_run_for(org, run_id).job_id)
        return stream_response(request._request, story, owner=org.id)


class RunPauseView(APIView):
    @extend_schema(request=None, responses=serializers.RunSerializer)
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        """Stop for now: at the next step's end, with a checkpoint from which it can go on."""
        return _done(request, run_id, "pause")


class RunResumeView(APIView):
    @extend_schema(request=None, responses=serializers.RunSerializer)
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        """Go on with a paused run, from its last checkpoint."""
        return _done(request, run_id, "resume")


class RunCancelView(APIView):
    @extend_schema(request=None, responses=serializers.RunSerializer)
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        """Stop the training. It ends within seconds."""
        return _done(request, run_id, "cancel")


class RunRequeueView(APIView):
    @extend_schema(request=None, responses={201: serializers.RunSerializer})
    def post(self, request: Request, run_id: uuid.UUID) -> Response:
        """Queue a new run in place of one that failed or was cancelled, with the same settings."""
        run = training_run_for(request_org(request), run_id)
        again = requeue_run(actor=request_user(request), run=run)
        where = reverse("api_run", args=[again.id], request=request)
        return Response(_shown(again, request), status=201, headers={"Location": where})


def _done(request: Request, run_id: uuid.UUID, action: services.Action) -> Response:
    """Do the action and return the run as it is then."""
    org = request_org(request)
    services.act(action, actor=request_user(request), run=training_run_for(org, run_id))
    return Response(_shown(training_run_for(org, run_id), request))


def _shown(run: TrainingRun, request: Request) -> dict[str, Any]:
    given = "after_step" in request.query_params
    after = number_of(request, "after_step", 0) if given else -1
    run.points_shown = points_of(run.job_id, after_step=after)  # type: ignore[attr-defined]
    return dict(serializers.RunSerializer(run).data)
