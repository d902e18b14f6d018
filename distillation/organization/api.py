"""/api/v1/organization: the settings of the caller's organisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.serializer_helpers import ReturnDict
from rest_framework.views import APIView

from accounts import services
from accounts.api.authentication import request_membership, request_org
from accounts.models import Membership, Organization, Role
from distillation.limits import NAME_CHARS
from distillation.organization.licensing import LicenseShare, license_policy_of, license_shares
from distillation.pipeline.licenses import LicensePolicy
from models_app.gateway.stored.services import MOST_DAYS, delete_all_stored, set_storing
from modelstation.core.web.api import Choice, StrictSerializer


class LicensePolicySerializer(StrictSerializer):
    """`any` stated licence, `permissive` ones only, or those `named` only. Rows whose licence
    nobody stated come in only with `allow_unknown`.
    """

    kind = Choice(Organization.LicensePolicy.choices)
    names = serializers.ListField(
        child=serializers.CharField(max_length=NAME_CHARS), max_length=200, required=False
    )
    allow_unknown = serializers.BooleanField(required=False)


class LicenseShareSerializer(serializers.Serializer[LicenseShare]):
    license = serializers.CharField()
    rows = serializers.IntegerField()
    allowed = serializers.BooleanField()


@dataclass(frozen=True)
class OrganizationSettings:
    org: Organization
    license_policy: LicensePolicy
    licenses: list[LicenseShare]


class OrganizationSettingsSerializer(serializers.Serializer[OrganizationSettings]):
    id = serializers.UUIDField(source="org.id")
    name = serializers.CharField(source="org.name")
    slug = serializers.CharField(source="org.slug")
    license_policy = LicensePolicySerializer()
    licenses = LicenseShareSerializer(many=True, help_text="Of the rows in sight, most first.")
    hub_token_hint = serializers.CharField(
        source="org.hub_token_hint", help_text="Empty: no token is stored."
    )
    store_completions = serializers.BooleanField(
        source="org.store_completions", help_text="Requests may have their answers stored."
    )
    stored_days = serializers.IntegerField(
        source="org.stored_days", help_text="For how long, before they are deleted."
    )
    allow_hub_search = serializers.BooleanField(source="org.allow_hub_search")


class OrganizationChangeSerializer(StrictSerializer):
    """What is left out stays as it is."""

    license_policy = LicensePolicySerializer(required=False)
    hub_token = serializers.CharField(
        required=False, allow_blank=True, max_length=400, help_text="Empty: forget the token."
    )
    store_completions = serializers.BooleanField(required=False)
    stored_days = serializers.IntegerField(required=False, min_value=1, max_value=MOST_DAYS)
    allow_hub_search = serializers.BooleanField(required=False)


class DeletedSerializer(serializers.Serializer[Any]):
    deleted = serializers.IntegerField()


class OrganizationView(APIView):
    @extend_schema(responses=OrganizationSettingsSerializer)
    def get(self, request: Request) -> Response:
        return Response(_shown(request_org(request)))

    @extend_schema(request=OrganizationChangeSerializer, responses=OrganizationSettingsSerializer)
    def patch(self, request: Request) -> Response:
        """Change what holds for all of it. The token of the hub is never shown again."""
        caller = request_membership(request, role=Role.ADMIN)
        serializer = OrganizationChangeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            _change(caller, serializer.validated_data)
        return Response(_shown(Organization.objects.get(pk=caller.org.pk)))


class StoredCompletionsView(APIView):
    @extend_schema(responses={200: DeletedSerializer})
    def delete(self, request: Request) -> Response:
        """Delete all answers that the organisation has stored. Rows made of them stay."""
        caller = request_membership(request, role=Role.ADMIN)
        deleted = delete_all_stored(actor=caller.user, org=caller.org)
        return Response({"deleted": deleted})


def _change(caller: Membership, changes: Mapping[str, Any]) -> None:
    org = caller.org
    if policy := changes.get("license_policy"):
        services.change_license_policy(
            actor=caller.user,
            org=org,
            kind=policy["kind"],
            names=policy.get("names", org.license_names),
            allow_unknown=policy.get("allow_unknown", org.allow_unknown_license),
        )
    token = changes.get("hub_token")
    if token:
        services.set_hub_token(actor=caller.user, org=org, token=token)
    elif token == "":
        services.clear_hub_token(actor=caller.user, org=org)

    if changes.keys() & {"store_completions", "stored_days"}:
        set_storing(
            actor=caller.user,
            org=org,
            allowed=changes.get("store_completions", org.store_completions),
            days=changes.get("stored_days", org.stored_days),
        )
    if "allow_hub_search" in changes:
        allowed = changes["allow_hub_search"]
        services.set_hub_search(actor=caller.user, org=org, allowed=allowed)


def _shown(org: Organization) -> ReturnDict[str, Any]:
    policy = license_policy_of(org)
    return OrganizationSettingsSerializer(
        OrganizationSettings(org, policy, license_shares(org, policy))
    ).data
