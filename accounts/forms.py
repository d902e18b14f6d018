import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from allauth.account.forms import SignupForm as BaseSignupForm
from django import forms
from django.db import transaction
from django.http import HttpRequest

from accounts.models import Organization, Role, User
from accounts.services import create_organization
from accounts.tokens import expiry_in

Policy = TypeVar("Policy")
EXPIRY_CHOICES = {"": "Never", "30": "In 30 days", "90": "In 90 days", "365": "In a year"}


class SignupForm(BaseSignupForm):  # type: ignore[misc]
    """Founds an organisation in the same transaction, so that nobody is left without one."""

    organization = forms.CharField(
        label="Organisation",
        max_length=120,
        required=False,
        help_text="What your team is called. Left empty, it is named after you.",
        widget=forms.TextInput(attrs={"autocomplete": "organization"}),
    )
    field_order = ["email", "organization", "password1", "password2"]

    def save(self, request: HttpRequest) -> User:
        with transaction.atomic():
            user: User = super().save(request)
            # alice.smith+work@example.org → Alice Smith
            words = re.split(r"[._-]", re.split(r"[@+]", user.email)[0])
            named_after = " ".join(word.capitalize() for word in words if word)
            name = self.cleaned_data["organization"].strip() or named_after
            create_organization(actor=user, name=name)
        return user


class TokenForm(forms.Form):
    name = forms.CharField(
        max_length=80, help_text="Where it will be used, for example “nightly job”."
    )
    expires_in_days = forms.ChoiceField(label="Expires", choices=EXPIRY_CHOICES, required=False)

    @property
    def expires_at(self) -> datetime | None:
        return expiry_in(int(self.cleaned_data["expires_in_days"] or 0))


class InvitationForm(forms.Form):
    email = forms.EmailField(label="E-mail address", max_length=254)
    role = forms.ChoiceField(initial=Role.MEMBER)

    def __init__(self, *args: Any, roles: list[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = [(role.value, role.label) for role in roles]  # type: ignore[attr-defined]


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=Role.choices)


class AccountForm(forms.Form):
    mail_when_built = forms.BooleanField(
        label="E-mail me when a build that I started has ended", required=False
    )


class NamesField(forms.Field):
    """Ticked boxes of one name: as many texts as were ticked."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> list[str]:
        return [str(name)[:80] for name in value or []]


class LicensePolicyForm(forms.Form):
    """Its names are the boxes beside the licences of the corpus."""

    kind = forms.ChoiceField(
        label="Rows may come into a dataset with",
        choices=Organization.LicensePolicy.choices,
        widget=forms.RadioSelect,
    )
    allow_unknown = forms.BooleanField(
        label="Also let in rows whose licence nobody stated", required=False
    )
    names = NamesField(required=False)

    def policy(self, make: Callable[[str, tuple[str, ...], bool], Policy]) -> Policy:
        """Return what was requested, as the pipeline's own value."""
        chosen = self.cleaned_data
        return make(chosen["kind"], tuple(chosen["names"]), chosen["allow_unknown"])


class HubTokenForm(forms.Form):
    token = forms.CharField(
        label="Access token",
        max_length=400,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="With the right to write to the namespace that you push to.",
    )
