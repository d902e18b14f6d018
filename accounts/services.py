"""Actions on organisations: create one, let people in and out, give their programs keys.

Who manages somebody must hold a role that covers both the role they have and the role they get,
so that an admin can neither make nor unmake an owner. An organisation always keeps an owner.
"""

import logging
import re
import secrets
from datetime import datetime, timedelta

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.text import slugify

from accounts import tokens
from accounts.audit import record
from accounts.models import ApiToken, Invitation, Membership, Organization, Role, User
from modelstation.core.errors import UserFacingError
from modelstation.core.tenancy import OrgQuerySet

logger = logging.getLogger("modelstation.accounts")
INVITATION_LASTS = timedelta(days=7)
SLUG_CHARS = 50
SLUG_TRIES = 5
HUB_TOKEN = re.compile(r"[\x21-\x7e]{20,400}")


def create_organization(*, actor: User, name: str) -> Organization:
    """Make the actor its owner. A taken slug gets a random ending, which nobody can guess."""
    with transaction.atomic():
        org = _insert_organization(name.strip()[:120] or "Organisation")
        Membership.objects.create(org=org, user=actor, role=Role.OWNER)
        record(org=org, actor=actor, action="organization.create", target=org)
    return org


def change_license_policy(
    *, actor: User, org: Organization, kind: str, names: list[str], allow_unknown: bool
) -> None:
    """Change it for datasets from now on; those that were made stay as they are."""
    with transaction.atomic():
        org = locked_org(org)
        before = _policy_of(org)
        org.license_policy, org.allow_unknown_license = kind, allow_unknown
        org.license_names = sorted({name.strip() for name in names if name.strip()})
        if kind == Organization.LicensePolicy.NAMED and not (org.license_names or allow_unknown):
            message = "This policy names no licence, so it would let no row in."
            hint = "Choose at least one licence, or another policy."
            raise UserFacingError(message, code="no_license_named", param="names", hint=hint)
        if (after := _policy_of(org)) != before:
            org.save(update_fields=["license_policy", "license_names", "allow_unknown_license"])
            action, change = "organization.license_policy", {"before": before, "after": after}
            record(org=org, actor=actor, action=action, target=org, **change)


def set_hub_token(*, actor: User, org: Organization, token: str) -> None:
    """Keep it encrypted, and its end as a hint. A refusal does not repeat what was sent."""
    if not HUB_TOKEN.fullmatch(token):
        message = "This is no token of the hub."
        advice = "Copy it whole, without spaces or quotes; it usually begins with hf_."
        raise UserFacingError(message, code="not_a_token", param="token", hint=advice)
    hint = f"{'hf_' if token.startswith('hf_') else ''}…{token[-4:]}"
    with transaction.atomic():
        Organization.objects.filter(pk=org.pk).update(hub_token=token, hub_token_hint=hint)
        record(org=org, actor=actor, action="hub_token.set", target=org, hint=hint)


def clear_hub_token(*, actor: User, org: Organization) -> None:
    """Harmless when done twice. Pushes that wait for a worker will fail, and say why."""
    with transaction.atomic():
        if locked_org(org).hub_token_hint:
            Organization.objects.filter(pk=org.pk).update(hub_token="", hub_token_hint="")
            record(org=org, actor=actor, action="hub_token.clear", target=org)


def set_hub_search(*, actor: User, org: Organization, allowed: bool) -> None:
    """Say whether members may look for data on the hub, where the operator lets them."""
    with transaction.atomic():
        Organization.objects.filter(pk=org.pk).update(allow_hub_search=allowed)
        action = "organization.hub_search"
        record(org=org, actor=actor, action=action, target=org, allowed=allowed)


def choose_mails(*, actor: User, org: Organization, mail_when_built: bool) -> None:
    with transaction.atomic():
        User.objects.filter(pk=actor.pk).update(mail_when_built=mail_when_built)
        record(org=org, actor=actor, action="user.mails", target=actor, when_built=mail_when_built)


def create_token(
    *, actor: User, org: Organization, name: str, expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """Return the token's row and its secret, which is known only here and now."""
    secret = tokens.make_secret()
    with transaction.atomic():
        token: ApiToken = ApiToken.objects.create(
            org=org,
            user=actor,
            name=name.strip(),
            prefix=tokens.shown_prefix(secret),
            digest=tokens.digest_of(secret),
            expires_at=expires_at,
        )
        record(org=org, actor=actor, action="token.create", target=token)
    return token, secret


def revoke_token(*, actor: User, token: ApiToken) -> None:
    """Revoke for good; harmless when done twice."""
    with transaction.atomic():
        if _revoke(ApiToken.objects.filter(pk=token.pk)):
            record(org=token.org, actor=actor, action="token.revoke", target=token)


def invite(*, actor: User, org: Organization, email: str, role: Role) -> tuple[Invitation, str]:
    """Return the invitation and its link's secret. It replaces an older one of the same address."""
    email = email.strip().lower()
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        _must_cover(actor, org, role)
        if Membership.objects.filter(org=org, user__email=email).exists():
            message = f"{email} is a member already."
            raise UserFacingError(message, code="already_member", param="email")
        Invitation.objects.filter(org=org, email=email, accepted_at=None).delete()
        invitation: Invitation = Invitation.objects.create(
            org=org,
            email=email,
            role=role,
            digest=tokens.digest_of(secret),
            invited_by=actor,
            expires_at=timezone.now() + INVITATION_LASTS,
        )
        record(org=org, actor=actor, action="invitation.create", target=email, role=role)
    return invitation, secret


def withdraw_invitation(*, actor: User, invitation: Invitation) -> None:
    org, email = invitation.org, invitation.email
    with transaction.atomic():
        record(org=org, actor=actor, action="invitation.withdraw", target=email)
        invitation.delete()


def accept_invitation(*, actor: User, invitation: Invitation) -> Membership:
    """Only the invited address may come in, once, and while the invitation lasts."""
    with transaction.atomic():
        invitation = Invitation.objects.select_for_update().get(pk=invitation.pk)
        check_acceptable(actor, invitation)
        invitation.accepted_at = timezone.now()
        invitation.save(update_fields=["accepted_at"])
        org, role = invitation.org, invitation.role
        membership, joined = Membership.objects.get_or_create(
            org=org, user=actor, defaults={"role": role}
        )
        if joined:
            record(org=org, actor=actor, action="member.join", target=actor, role=role)
    return membership


def check_acceptable(actor: User, invitation: Invitation) -> None:
    email = invitation.email
    if not invitation.is_open:
        message, hint = "This invitation was used or has expired.", "Ask for a new one."
        raise UserFacingError(message, code="invitation_closed", hint=hint)
    if actor.email.lower() != email.lower():
        message = f"This invitation is for {email}."
        hint = f"Log in as {email}, or sign up with that address, and open the link again."
        raise UserFacingError(message, code="other_address", hint=hint)


def change_role(*, actor: User, membership: Membership, role: Role) -> Membership:
    with transaction.atomic():
        membership = _locked(membership)
        _must_cover(actor, membership.org, Role(membership.role), role)
        if role != Role.OWNER:
            _must_not_be_last_owner(membership)
        org, change = membership.org, {"before": membership.role, "after": role}
        record(org=org, actor=actor, action="member.change_role", target=membership.user, **change)
        membership.role = role
        membership.save(update_fields=["role"])
    return membership


def remove_member(*, actor: User, membership: Membership) -> None:
    """Take somebody out, or leave. Their tokens of this organisation end with the membership."""
    with transaction.atomic():
        membership = _locked(membership)
        if membership.user_id != actor.pk:
            _must_cover(actor, membership.org, Role(membership.role))
        _must_not_be_last_owner(membership)
        _revoke(ApiToken.objects.filter(org=membership.org, user=membership.user))
        record(org=membership.org, actor=actor, action="member.remove", target=membership.user)
        membership.delete()


def _insert_organization(name: str) -> Organization:
    wanted = slugify(name)[:SLUG_CHARS].strip("-") or "org"
    for attempt in range(SLUG_TRIES):
        slug = f"{wanted}-{secrets.token_hex(3)}" if attempt else wanted
        try:
            with transaction.atomic():
                return Organization.objects.create(name=name, slug=slug)
        except IntegrityError:
            continue
    raise RuntimeError(f"no free slug for {wanted!r} in {SLUG_TRIES} tries")


def _revoke(some: OrgQuerySet) -> int:
    return some.filter(revoked_at=None).update(revoked_at=timezone.now())


def locked_org(org: Organization) -> Organization:
    return Organization.objects.select_for_update().get(pk=org.pk)


def _policy_of(org: Organization) -> dict[str, str | bool | list[str]]:
    kind, unknown = str(org.license_policy), org.allow_unknown_license
    return {"kind": kind, "names": org.license_names, "allow_unknown": unknown}


def _locked(membership: Membership) -> Membership:
    """As it is now. The organisation is locked, so that two owners cannot demote each other."""
    Organization.objects.select_for_update().get(pk=membership.org_id)
    return Membership.objects.select_related("org", "user").get(pk=membership.pk)


def _must_not_be_last_owner(membership: Membership) -> None:
    owners = Membership.objects.filter(org=membership.org, role=Role.OWNER)
    if membership.role == Role.OWNER and not owners.exclude(pk=membership.pk).exists():
        hint = "Make somebody else an owner first."
        raise UserFacingError("An organisation needs an owner.", code="last_owner", hint=hint)


def _must_cover(actor: User, org: Organization, *roles: Role) -> None:
    """Raise PermissionDenied below admin, and where a role is above the actor's own."""
    membership = Membership.objects.filter(org=org, user=actor).first()
    held = Role(membership.role) if membership else None
    if held is None or not all(held.covers(role) for role in (Role.ADMIN, *roles)):
        raise PermissionDenied("This needs a higher role in this organisation.")
