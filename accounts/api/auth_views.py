"""/auth/*: log in and out with a session, and ask who one is.

Log-in goes through allauth's own form and flow, so its rate limits and e-mail checks hold here too.
"""

from typing import Any

from allauth.account.forms import LoginForm
from allauth.account.internal import flows
from allauth.account.internal.stagekit import get_pending_stage
from allauth.core import ratelimit
from django.core.exceptions import NON_FIELD_ERRORS
from django.http import HttpRequest
from django.middleware.csrf import get_token
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import APIException, Throttled
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api import serializers
from accounts.api.authentication import SessionAuthentication, request_org
from accounts.models import User
from modelstation.core.web.parsers import SmallBodyParser

# What allauth still asks for after the right password, by the key of its stage.
CONFIRM = "Confirm your e-mail address first: we sent you a link."
PENDING = {
    "verify_email": ("email_not_verified", CONFIRM),
    "mfa_authenticate": ("mfa_required", "This account needs a second factor."),
}
INACTIVE = ("account_inactive", "This account is not active.")


class LogInRefused(APIException):
    status_code = status.HTTP_401_UNAUTHORIZED


class LoginView(APIView):
    # JSON alone, which no foreign page can post without asking: a log-in needs no CSRF token.
    authentication_classes = []
    permission_classes = []
    parser_classes = [SmallBodyParser]

    @extend_schema(request=serializers.LoginSerializer, responses=serializers.MeSerializer, auth=[])
    def post(self, request: Request) -> Response:
        """Start a session. The answer sets the session's and the CSRF cookie."""
        login = serializers.LoginSerializer(data=request.data)
        login.is_valid(raise_exception=True)
        http_request = request._request
        if not ratelimit.consume(http_request, action="login"):
            raise Throttled
        _log_in(http_request, **login.validated_data)
        get_token(http_request)
        request.user = http_request.user
        return Response(me(request))


class LogoutView(APIView):
    authentication_classes = [SessionAuthentication]

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        flows.logout.logout(request._request, show_message=False)
        return Response(status=status.HTTP_204_NO_CONTENT)


class MeView(APIView):
    @extend_schema(responses=serializers.MeSerializer)
    def get(self, request: Request) -> Response:
        """Return the caller, the organisation of this call, and all those of the caller."""
        return Response(me(request))


def me(request: Request) -> dict[str, Any]:
    assert isinstance(request.user, User)
    memberships = request.user.memberships.select_related("org")
    if request.auth:
        memberships = memberships.filter(org=request_org(request))
    facts = {
        "user": request.user,
        "organization": request_org(request) if memberships else None,
        "organizations": memberships,
    }
    return dict(serializers.MeSerializer(facts).data)


def _log_in(request: HttpRequest, *, email: str, password: str) -> None:
    form = LoginForm(data={"login": email, "password": password}, request=request)
    if not form.is_valid():
        if form.has_error(NON_FIELD_ERRORS, code="too_many_login_attempts"):
            raise Throttled
        raise LogInRefused("The e-mail address or the password is wrong.", code="invalid_login")
    form.login(request)
    if not request.user.is_authenticated:
        stage = get_pending_stage(request)
        code, message = PENDING.get(stage.key if stage else "", INACTIVE)
        raise LogInRefused(message, code=code)
