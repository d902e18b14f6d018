"""/api/v1/tokens, members and invitations: the same accessors and services as the pages."""

import uuid
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts import access, services
from accounts.api import serializers
from accounts.api.authentication import request_membership, request_org
from accounts.models import ApiToken, Invitation, Membership, Role
from accounts.tokens import expiry_in


class TokensView(generics.ListAPIView[ApiToken]):
    """One's own tokens; an admin sees those of everybody."""

    serializer_class = serializers.TokenSerializer

    def get_queryset(self) -> QuerySet[ApiToken]:
        return access.tokens_seen_by(request_membership(self.request))

    @extend_schema(
        request=serializers.TokenDraftSerializer, responses={201: serializers.NewTokenSerializer}
    )
    def post(self, request: Request) -> Response:
        """Make a token for the caller. Its `secret` is in this answer only."""
        caller = request_membership(request)
        sent = _valid(serializers.TokenDraftSerializer(data=request.data))
        until = expiry_in(sent.get("expires_in_days", 0))
        token, secret = services.create_token(
            actor=caller.user, org=caller.org, name=sent["name"], expires_at=until
        )
        shown = serializers.TokenSerializer(token).data | {"secret": secret}
        return Response(shown, status=status.HTTP_201_CREATED)


class TokenView(APIView):
    @extend_schema(responses=serializers.TokenSerializer)
    def get(self, request: Request, token_id: uuid.UUID) -> Response:
        token = access.token_for(request_membership(request), token_id)
        return Response(serializers.TokenSerializer(token).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, token_id: uuid.UUID) -> Response:
        """Revoke the token, for good."""
        caller = request_membership(request)
        token = access.token_for(caller, token_id)
        services.revoke_token(actor=caller.user, token=token)
        return Response(status=status.HTTP_204_NO_CONTENT)


class MembersView(generics.ListAPIView[Membership]):
    serializer_class = serializers.MemberSerializer

    def get_queryset(self) -> QuerySet[Membership]:
        return Membership.objects.filter(org=request_org(self.request)).select_related("user")


class MemberView(APIView):
    @extend_schema(responses=serializers.MemberSerializer)
    def get(self, request: Request, membership_id: int) -> Response:
        membership = access.membership_for(request_org(request), membership_id)
        return Response(serializers.MemberSerializer(membership).data)

    @extend_schema(request=serializers.RoleSerializer, responses=serializers.MemberSerializer)
    def patch(self, request: Request, membership_id: int) -> Response:
        """Change the role. Nobody hands out or touches a role above their own."""
        caller = request_membership(request, role=Role.ADMIN)
        membership = access.membership_for(caller.org, membership_id)
        role = Role(_valid(serializers.RoleSerializer(data=request.data))["role"])
        changed = services.change_role(actor=caller.user, membership=membership, role=role)
        return Response(serializers.MemberSerializer(changed).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, membership_id: int) -> Response:
        """Remove a member, or leave. Their tokens of this organisation are revoked."""
        caller = request_membership(request)
        membership = access.membership_for(caller.org, membership_id)
        services.remove_member(actor=caller.user, membership=membership)
        return Response(status=status.HTTP_204_NO_CONTENT)


class InvitationsView(generics.ListAPIView[Invitation]):
    serializer_class = serializers.InvitationSerializer

    def get_queryset(self) -> QuerySet[Invitation]:
        return Invitation.objects.filter(org=request_org(self.request, role=Role.ADMIN))

    @extend_schema(
        request=serializers.InvitationDraftSerializer,
        responses={201: serializers.NewInvitationSerializer},
    )
    def post(self, request: Request) -> Response:
        """Invite an address. The `link` to send is in this answer only."""
        caller = request_membership(request, role=Role.ADMIN)
        sent = _valid(serializers.InvitationDraftSerializer(data=request.data))
        invitation, secret = services.invite(
            actor=caller.user, org=caller.org, email=sent["email"], role=Role(sent["role"])
        )
        link = reverse("invitation_accept", args=[caller.org.slug, secret], request=request)
        shown = serializers.InvitationSerializer(invitation).data | {"link": link}
        return Response(shown, status=status.HTTP_201_CREATED)


class InvitationView(APIView):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, invitation_id: uuid.UUID) -> Response:
        """Withdraw the invitation: its link stops working."""
        caller = request_membership(request, role=Role.ADMIN)
        invitation = access.invitation_for(caller.org, invitation_id)
        services.withdraw_invitation(actor=caller.user, invitation=invitation)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _valid(sent: Serializer[Any]) -> dict[str, Any]:
    sent.is_valid(raise_exception=True)
    return dict(sent.validated_data)
