"""What the playground asks for."""

import json
from dataclasses import asdict
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from models_app.models import CustomModel, ModelVersion
from models_app.playground.services import Question, Turn
from models_app.serving.client import GenerationConfig
from modelstation.lm.json_schema import MAX_CHARS, SchemaRefused, parse_schema

MAX_PROMPT_CHARS = 32_000
MAX_TOKENS = 4_096
DEFAULT_TOKENS = GenerationConfig.max_new_tokens
MAX_SEED = 2**32 - 2  # llama.cpp takes the last one for "none"
MAX_TURNS = 20
MAX_TURNS_CHARS = 200_000
COLUMNS = ("base", "tuned", "other")


def _area(rows: int, placeholder: str = "", **attrs: str) -> forms.Textarea:
    return forms.Textarea(attrs={"rows": rows, "placeholder": placeholder, **attrs})


class PlaygroundForm(forms.Form):
    prompt = forms.CharField(
        max_length=MAX_PROMPT_CHARS, widget=_area(4, "Type what your users would type…")
    )
    version = forms.ModelChoiceField(queryset=ModelVersion.objects.none(), empty_label=None)
    other = forms.ModelChoiceField(
        label="Also ask",
        queryset=ModelVersion.objects.none(),
        required=False,
        empty_label="no other version",
    )
    system_prompt = forms.CharField(
        max_length=8_000,
        required=False,
        widget=_area(3),
        help_text="For all columns. Left as it is or emptied, each version answers under its own.",
    )
    temperature = forms.FloatField(
        min_value=0,
        max_value=2,
        initial=0,
        required=False,
        widget=forms.NumberInput(attrs={"step": "0.1"}),
        help_text="0: always the same, likeliest answer; the higher, the more varied.",
    )
    max_tokens = forms.IntegerField(
        label="Longest answer",
        min_value=1,
        max_value=MAX_TOKENS,
        initial=DEFAULT_TOKENS,
        required=False,
        help_text="In tokens: short words, or parts of one.",
    )
    seed = forms.IntegerField(
        min_value=0,
        max_value=MAX_SEED,
        required=False,
        help_text="Above temperature 0: the same number gives the same answer again.",
    )
    schema = forms.CharField(
        label="JSON Schema",
        max_length=MAX_CHARS,
        required=False,
        widget=_area(3, '{"type": "object", "properties": {…}}', spellcheck="false"),
        help_text="The answer is held to it, and the page says whether it fits.",
    )
    go_on = forms.BooleanField(label="Go on with this conversation", required=False)
    turns = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, model: CustomModel, **options: Any) -> None:
        super().__init__(*args, **options)
        versions = model.versions.select_related("base", "model")
        for name in ("version", "other"):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = versions
        first = model.live_version or versions.first()
        self.fields["version"].initial = first
        self.fields["system_prompt"].initial = first.system_prompt if first else ""

    def clean_prompt(self) -> str:
        return _lines(self.cleaned_data["prompt"])

    def clean_system_prompt(self) -> str:
        return _lines(self.cleaned_data["system_prompt"])

    def clean_schema(self) -> Any:
        try:
            return parse_schema(self.cleaned_data["schema"])
        except SchemaRefused as error:
            raise ValidationError(f"{error}.") from error

    def clean_turns(self) -> tuple[Turn, ...]:
        """Our own, as the page before wrote them; what cannot be read begins a new conversation."""
        given = self.cleaned_data["turns"]
        if len(given) > MAX_TURNS_CHARS:
            raise ValidationError("This conversation is too long. Begin a new one.")
        try:
            return tuple(_turn(turn) for turn in json.loads(given or "[]"))[-MAX_TURNS:]
        except (ValueError, TypeError, KeyError, RecursionError):
            return ()

    @property
    def has_settings_errors(self) -> bool:
        return bool(self.errors.keys() - {"prompt", "version", "other"})

    @property
    def question(self) -> Question:
        fields = self.cleaned_data
        own = fields["system_prompt"] == fields["version"].system_prompt.strip()
        return Question(
            prompt=fields["prompt"],
            config=GenerationConfig(
                max_new_tokens=fields["max_tokens"] or DEFAULT_TOKENS,
                temperature=fields["temperature"] or 0.0,
                seed=fields["seed"],
                json_schema=fields["schema"],
            ),
            system_prompt="" if own else fields["system_prompt"],
            schema=fields["schema"],
            turns=fields["turns"] if fields["go_on"] else (),
        )


def dump_turns(turns: tuple[Turn, ...]) -> str:
    """For the hidden field of the next page."""
    return json.dumps([asdict(turn) for turn in turns], ensure_ascii=False)


def _turn(given: Any) -> Turn:
    answers = {name: str(given["answers"][name]) for name in COLUMNS if name in given["answers"]}
    return Turn(str(given["user"]), answers)


def _lines(text: str) -> str:
    """Browsers send CRLF; models were trained on LF."""
    return text.replace("\r\n", "\n")
