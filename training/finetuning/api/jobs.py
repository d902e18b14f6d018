"""/v1/fine_tuning/jobs"""

import secrets
from functools import partial
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.authentication import request_org, request_user
from accounts.models import Organization
from models_app.api.idempotency import made_once
from models_app.api.shapes import IDEMPOTENCY_KEY
from models_app.gateway.errors import ModelNotFound
from models_app.gateway.model_resolver import named_by
from models_app.gateway.views import OpenAIView
from models_app.models import FoundationModel
from modelstation.core.web.api import limit_of
from training.access import build_for, find_file
from training.finetuning import jobs as services
from training.finetuning.api.paging import (
    AFTER,
    LIMIT,
    metadata_of,
    page_of,
    rows_after,
    unknown_cursor,
)
from training.finetuning.api.requests import FineTuningRequestSerializer
from training.finetuning.api.serializers import (
    OpenAICheckpointListSerializer,
    OpenAIEventListSerializer,
    OpenAIJobListSerializer,
    OpenAIJobSerializer,
)
from training.finetuning.api.shapes import checkpoint_shape, event_shape, job_shape
from training.finetuning.builds import builds, builds_of, checkpoints_of, events_of
from training.finetuning.ids import JOB, event_id_of, uuid_of
from training.models import UploadedFile
from training.runs.services import Action

JOBS_A_PAGE, EVENTS_A_PAGE, CHECKPOINTS_A_PAGE, MOST = 20, 20, 10, 100
RANDOM_SEEDS = 2**31
METADATA = OpenApiParameter(
    "metadata", OpenApiTypes.OBJECT, style="deepObject", description="`metadata[key]=value`."
)


class JobsView(OpenAIView):
    @extend_schema(
        operation_id="openai_jobs",
        parameters=[AFTER, LIMIT, METADATA],
        responses=OpenAIJobListSerializer,
    )
    def get(self, request: Request) -> Response:
        """List the organisation's fine-tuning jobs, newest first: those of this API, and the
        builds and runs of the web app.
        """
        roots = builds_of(request_org(request))
        if pairs := metadata_of(request):
            roots = roots.filter(fine_tuning_request__metadata__contains=pairs)
        matches = rows_after(roots, request, lambda name: uuid_of(name, JOB))
        limit = limit_of(request, JOBS_A_PAGE, most=MOST)
        return Response(page_of(matches, limit, lambda rows: list(map(job_shape, builds(rows)))))

    @extend_schema(
        operation_id="openai_job_create",
        request=FineTuningRequestSerializer,
        responses=OpenAIJobSerializer,
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request) -> Response:
        """Train a base on an uploaded file, its rows as they are."""
        return made_once(request, partial(self._create, request), said=request.data, code=200)

    def _create(self, request: Request) -> dict[str, Any]:
        org = request_org(request)
        given = FineTuningRequestSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        root = services.create_job(
            actor=request_user(request), org=org, requested=_requested(org, given.validated_data)
        )
        return job_shape(build_for(org, f"{JOB}{root.id.hex}"))


def _requested(org: Organization, given: dict[str, Any]) -> services.JobRequest:
    named = {"training_file", "validation_file"} & given.keys()
    files = {name: _file(org, given[name], name) for name in sorted(named)}
    return services.JobRequest(
        base=_base(org, given["model"]),
        **files,
        suffix=given.get("suffix", ""),
        seed=given.get("seed", secrets.randbelow(RANDOM_SEEDS)),
        hyperparameters=given["hyperparameters"],
        metadata=given.get("metadata", {}),
    )


def _base(org: Organization, name: str) -> FoundationModel:
    base = FoundationModel.objects.filter(name=name, is_installed=True).first()
    if base is not None:
        return base
    if named_by(org, name):
        message = "A tuned model cannot be trained further here; give its base."
        raise exceptions.ValidationError({"model": message}, code="unsupported_value")
    raise ModelNotFound(name)


def _file(org: Organization, name: str, param: str) -> UploadedFile:
    file = find_file(org, name)
    if file is None:
        raise exceptions.ValidationError({param: f"There is no file with the id “{name}”."})
    return file


class JobView(OpenAIView):
    @extend_schema(operation_id="openai_job", responses=OpenAIJobSerializer)
    def get(self, request: Request, job_id: str) -> Response:
        return Response(job_shape(build_for(request_org(request), job_id)))


class JobCancelView(OpenAIView):
    @extend_schema(operation_id="openai_job_cancel", request=None, responses=OpenAIJobSerializer)
    def post(self, request: Request, job_id: str) -> Response:
        """One that waits ends at once, one at work within seconds."""
        return _done(request, job_id, "cancel")


class JobPauseView(OpenAIView):
    @extend_schema(operation_id="openai_job_pause", request=None, responses=OpenAIJobSerializer)
    def post(self, request: Request, job_id: str) -> Response:
        """Stop for now: at the next step's end, with a checkpoint."""
        return _done(request, job_id, "pause")


class JobResumeView(OpenAIView):
    @extend_schema(operation_id="openai_job_resume", request=None, responses=OpenAIJobSerializer)
    def post(self, request: Request, job_id: str) -> Response:
        """Go on with a paused job, from its last checkpoint."""
        return _done(request, job_id, "resume")


def _done(request: Request, job_id: str, action: Action) -> Response:
    org = request_org(request)
    services.act(action, actor=request_user(request), build=build_for(org, job_id))
    return Response(job_shape(build_for(org, job_id)))


class JobEventsView(OpenAIView):
    @extend_schema(
        operation_id="openai_job_events",
        parameters=[AFTER, LIMIT],
        responses=OpenAIEventListSerializer,
    )
    def get(self, request: Request, job_id: str) -> Response:
        """List the events of the job, newest first; the ids rise with time."""
        events = events_of(build_for(request_org(request), job_id))
        if name := request.query_params.get("after"):
            last = event_id_of(name)
            if last is None or not events.filter(id=last).exists():
                raise unknown_cursor(name)
            events = events.filter(id__lt=last)
        limit = limit_of(request, EVENTS_A_PAGE, most=MOST)
        return Response(page_of(events, limit, lambda rows: list(map(event_shape, rows))))


class JobCheckpointsView(OpenAIView):
    @extend_schema(
        operation_id="openai_job_checkpoints",
        parameters=[AFTER, LIMIT],
        responses=OpenAICheckpointListSerializer,
    )
    def get(self, request: Request, job_id: str) -> Response:
        """Checkpoints that are served under a name of their own, newest first."""
        build = build_for(request_org(request), job_id)
        shapes = [checkpoint_shape(build, checkpoint) for checkpoint in checkpoints_of(build)]
        if name := request.query_params.get("after"):
            ids = [shape["id"] for shape in shapes]
            if name not in ids:
                raise unknown_cursor(name)
            shapes = shapes[ids.index(name) + 1 :]
        return Response(page_of(shapes, limit_of(request, CHECKPOINTS_A_PAGE, most=MOST), list))
