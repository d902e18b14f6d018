"""How forms look: one field template with label, help, error and the aria links between them."""

from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.forms.renderers import DjangoTemplates
from django.template.backends.django import DjangoTemplates as Engine
from django.utils.functional import cached_property


class PageFormRenderer(DjangoTemplates):
    """Looks into templates/ first, then where Django, its admin and other apps keep theirs."""

    form_template_name = "forms/form.html"
    field_template_name = "forms/field.html"

    @cached_property
    def engine(self) -> Any:
        folders = [settings.BASE_DIR / "templates", Path(forms.__file__).parent / "templates"]
        return Engine({"APP_DIRS": True, "DIRS": folders, "NAME": "forms", "OPTIONS": {}})
