from datetime import datetime
from typing import Any

from allauth.account.forms import SignupForm as BaseSignupForm
from django import forms
from django.db import transaction
from django.http import HttpRequest

from accounts.models import Role, User
from accounts.services import create_organization
from accounts.tokens import expiry_in

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
            name = self.cleaned_data["organization"].strip() or name_from(user.email)
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


def name_from(email: str) -> str:
    """alice.smith+work@example.org → Alice Smith"""
    local = email.partition("@")[0].partition("+")[0]
    words = local.replace("_", ".").replace("-", ".").split(".")
    return " ".join(word.capitalize() for word in words if word)
