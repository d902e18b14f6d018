"""Shapes of users, organisations, tokens, members and invitations."""

from typing import Any

from rest_framework import serializers

from accounts.models import ApiToken, Invitation, Membership, Organization, Role, User
from modelstation.core.web.api import Choice, StrictSerializer


class LoginSerializer(StrictSerializer):
    email = serializers.EmailField()
    password = serializers.CharField(trim_whitespace=False)


class UserSerializer(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ["id", "email"]


class OrganizationSerializer(serializers.ModelSerializer[Organization]):
    class Meta:
        model = Organization
        fields = ["id", "name", "slug"]


class OrganizationRoleSerializer(serializers.ModelSerializer[Membership]):
    """An organisation, and what the user may do in it."""

    id = serializers.UUIDField(source="org.id")
    name = serializers.CharField(source="org.name")
    slug = serializers.CharField(source="org.slug")

    class Meta:
        model = Membership
        fields = ["id", "name", "slug", "role"]


class MeSerializer(serializers.Serializer[Any]):
    """`organization` is the one that this call works in; null when the user belongs to none."""

    user = UserSerializer()
    organization = OrganizationSerializer(allow_null=True)
    organizations = OrganizationRoleSerializer(many=True)


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    user = serializers.EmailField(source="user.email")
    is_active = serializers.BooleanField()

    class Meta:
        model = ApiToken
        fields = [
            "id", "name", "prefix", "user", "is_active",
            "created_at", "last_used_at", "expires_at", "revoked_at",
        ]  # fmt: skip


class TokenDraftSerializer(StrictSerializer):
    name = serializers.CharField(max_length=80)
    expires_in_days = serializers.IntegerField(required=False, min_value=1, max_value=3650)


class NewTokenSerializer(TokenSerializer):
    secret = serializers.CharField(help_text="The token itself. It is shown in this answer only.")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "secret"]


class MemberSerializer(serializers.ModelSerializer[Membership]):
    email = serializers.EmailField(source="user.email")

    class Meta:
        model = Membership
        fields = ["id", "email", "role", "created_at"]


class RoleSerializer(StrictSerializer):
    role = Choice(Role.choices)


class InvitationSerializer(serializers.ModelSerializer[Invitation]):
    is_open = serializers.BooleanField()

    class Meta:
        model = Invitation
        fields = ["id", "email", "role", "is_open", "created_at", "expires_at", "accepted_at"]


class InvitationDraftSerializer(StrictSerializer):
    email = serializers.EmailField(max_length=254)
    role = Choice(Role.choices, default=Role.MEMBER)


class NewInvitationSerializer(InvitationSerializer):
    link = serializers.URLField(help_text="To send to the invited. It is in this answer only.")

    class Meta(InvitationSerializer.Meta):
        fields = [*InvitationSerializer.Meta.fields, "link"]
