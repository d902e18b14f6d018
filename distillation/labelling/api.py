"""/api/v1/models/{id}/inputs: a model's unlabelled inputs, what to ask next, and taking over."""

import uuid
from dataclasses import asdict
from functools import partial
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions, generics
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.serializer_helpers import ReturnDict
from rest_framework.views import APIView

from accounts.api.authentication import request_org, request_user
from distillation.access import input_for
from distillation.imports import uploads
from distillation.labelling import serializers, services
from distillation.labelling.reading import Inputs, inputs_of_file, taken
from distillation.labelling.rows import ModelInput
from models_app.access import model_for
from models_app.api.idempotency import made_once
from models_app.api.shapes import IDEMPOTENCY_KEY, valid
from models_app.models import CustomModel

STATES = [state for state in ModelInput.State.values if state != ModelInput.State.SEED]
STATE = OpenApiParameter(
    "state",
    OpenApiTypes.STR,
    enum=STATES,
    description="`open` lists what to ask next first.",
)


class InputsPagination(LimitOffsetPagination):
    default_limit, max_limit = 50, 500


@extend_schema(parameters=[STATE], methods=["get"])
class InputsView(generics.ListAPIView[ModelInput]):
    """The inputs with what is proposed for them; those that are open in the order to ask them."""

    serializer_class = serializers.InputSerializer
    pagination_class = InputsPagination
    parser_classes = [JSONParser, MultiPartParser]

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        uploads.receive_on_disk(request)
        return super().initialize_request(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[ModelInput]:
        model = model_for(request_org(self.request), self.kwargs["model_id"])
        state = self.request.query_params.get("state")
        if state is not None and state not in STATES:
            raise exceptions.ValidationError({"state": f"One of {', '.join(STATES)}."})
        rows: Any = model.inputs.inputs().defer("vector")
        if state == ModelInput.State.OPEN:
            rows = rows.open()
        elif state:
            rows = rows.filter(state=state)
        result: QuerySet[ModelInput] = rows
        return result

    @extend_schema(
        request={
            "application/json": serializers.NewInputsSerializer,
            "multipart/form-data": serializers.NewInputsSerializer,
        },
        responses={201: serializers.AddedInputsSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def post(self, request: Request, model_id: uuid.UUID) -> Response:
        """Add inputs; those that the model has are counted, not repeated. A job embeds them."""
        model = model_for(request_org(request), model_id)
        given = valid(serializers.NewInputsSerializer(data=request.data))
        if file := given.get("file"):
            inputs, said = inputs_of_file(file, given.get("column", "")), [file.sha256.hexdigest()]
        else:
            inputs, said = taken(given["inputs"]), given["inputs"]
        return made_once(request, partial(self._add, request, model, inputs), said=said)

    def _add(self, request: Request, model: CustomModel, inputs: Inputs) -> dict[str, Any]:
        added = services.add_inputs(actor=request_user(request), model=model, inputs=inputs)
        left_out = {"blank": inputs.blank, "too_long": inputs.too_long}
        read = left_out | {"unreadable": inputs.unreadable, "column": inputs.column}
        return asdict(added) | read


class InputView(APIView):
    @extend_schema(responses=serializers.InputSerializer)
    def get(self, request: Request, model_id: uuid.UUID, input_id: uuid.UUID) -> Response:
        model = model_for(request_org(request), model_id)
        return Response(_shown(input_for(model, input_id)))

    @extend_schema(request=serializers.InputChangeSerializer, responses=serializers.InputSerializer)
    def patch(self, request: Request, model_id: uuid.UUID, input_id: uuid.UUID) -> Response:
        """Answer it, once more too; or skip it, leave it out, open it again."""
        row = input_for(model_for(request_org(request), model_id), input_id)
        given = valid(serializers.InputChangeSerializer(data=request.data))
        change = services.answer_input if "answer" in given else services.set_state
        return Response(_shown(change(actor=request_user(request), row=row, **given)))


class InputsTakeOverView(APIView):
    @extend_schema(request=serializers.TakeOverSerializer, responses=serializers.SummarySerializer)
    def post(self, request: Request, model_id: uuid.UUID) -> Response:
        """Make rows of the answers and of the sure proposals, by a job: see `source_id`."""
        model = model_for(request_org(request), model_id)
        given = valid(serializers.TakeOverSerializer(data=request.data))
        services.take_over(actor=request_user(request), model=model, **given)
        return Response(_summary(model))


class InputsSummaryView(APIView):
    @extend_schema(responses=serializers.SummarySerializer)
    def get(self, request: Request, model_id: uuid.UUID) -> Response:
        """How far it is: answers by label, how often the head is right, what it would take over."""
        return Response(_summary(model_for(request_org(request), model_id)))


def _shown(row: ModelInput) -> ReturnDict[str, Any]:
    return serializers.InputSerializer(row).data


def _summary(model: CustomModel) -> ReturnDict[str, Any]:
    return serializers.SummarySerializer(services.summary_of(model)).data
