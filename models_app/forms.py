"""The forms of models. ModelDraft alone decides what is valid; its errors find their fields."""

import json
from itertools import product
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.boundfield import BoundField

from models_app.drafts import ModelDraft
from models_app.models import DEFAULT_ROWS, CustomModel, FoundationModel
from modelstation.core.errors import UserFacingError
from training.scoring.metrics import METRICS, MODEL_METRICS

EXAMPLE_ROWS = 3
SIDES = ("input", "output")
CRITERIA_LIKE = (
    "At least 90 % of the answers are exactly right\nAnswers in under 2 seconds\nBelow 200 MB"
)
CRITERIA_HELP = (
    "One per line, in plain words: what is measured, and how much of it. Below stands what is read "
    "out of them. That the tuned model beats its base is always checked."
)
METRIC_CHOICES = [
    ("", "Automatic, by the kind of task"),
    *((name, f"{name}: {METRICS[name].words}") for name in MODEL_METRICS),
]
METRIC_HELP = "How close an answer is to the expected one; all scores are given in it."
SEARCH = {"type": "search", "placeholder": "Search by name", "aria-label": "Search by name"}
ARROW = "=>"
PAIR_HELP = (
    "One per line: <code>input =&gt; output</code>, "
    'or JSON such as <code>{"input": "…", "output": "…"}</code>.'
)


def add_refusal(form: forms.Form, error: UserFacingError) -> None:
    """Put a refusal at its field; one that concerns the whole above the form."""
    field = error.param.split(".")[0]
    form.add_error(field if field in form.fields else None, error.text)


def parse_pairs(text: str) -> list[dict[str, str]]:
    """Lines of `input => output` or of JSON, as pairs. ValidationError naming the line."""
    return [_pair(line, number) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _pair(line: str, number: int) -> dict[str, str]:
    if line.lstrip().startswith("{"):
        return _json_pair(line, number)
    before, arrow, after = line.partition(ARROW)
    if not arrow:
        raise ValidationError(f"Line {number} has no “{ARROW}” between its input and its output.")
    return {"input": before.strip(), "output": after.strip()}


def _json_pair(line: str, number: int) -> dict[str, str]:
    try:
        pair = json.loads(line)
    except ValueError as error:
        raise ValidationError(f"Line {number} is not valid JSON: {error}.") from error
    if not all(isinstance(pair.get(key), str) for key in SIDES):
        raise ValidationError(f"Line {number} needs “input” and “output”, both of them text.")
    return {side: pair[side] for side in SIDES}


class PairsField(forms.CharField):
    """A textarea of example pairs."""

    def __init__(self, **options: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 4, "class": "mono", "spellcheck": "false"})
        super().__init__(required=False, strip=False, widget=widget, **options)

    def clean(self, value: Any) -> Any:
        return parse_pairs(super().clean(value))


class LinesField(forms.CharField):
    """A textarea whose value is its lines that are not blank."""

    def clean(self, value: Any) -> Any:
        return [line.strip() for line in super().clean(value).splitlines() if line.strip()]


def _area(rows: int, placeholder: str = "") -> forms.Textarea:
    return forms.Textarea(attrs={"rows": rows, "placeholder": placeholder})


class CurationField(forms.ChoiceField):
    """Nothing chosen, as by a program that posts the form: the first way."""

    def __init__(self) -> None:
        super().__init__(
            label="Before training",
            required=False,
            choices=[
                ("auto", "Train on the dataset as selected"),
                ("review", "Wait until somebody has reviewed and frozen it"),
            ],
            help_text="A dataset under review can be searched; its rows can be left out or edited.",
        )

    def clean(self, value: Any) -> Any:
        return super().clean(value) or "auto"


class StudentField(forms.ChoiceField):
    """Nothing chosen, as by a program that posts the form: by the task."""

    def __init__(self) -> None:
        super().__init__(
            label="Kind of model",
            required=False,
            choices=[
                ("auto", "By the task: an encoder for labels, else a generator"),
                ("encoder", "Encoder: tells labels apart, trained in seconds, answers at once"),
                ("generator", "Generator: the base model, tuned to write answers"),
            ],
            help_text="The training plan says which one it is, and why.",
        )

    def clean(self, value: Any) -> Any:
        return super().clean(value) or "auto"


class CurationForm(forms.Form):
    curation = CurationField()


class ContractFields(forms.Form):
    """What a model is measured by."""

    success_criteria = LinesField(
        required=False, widget=_area(3, CRITERIA_LIKE), help_text=CRITERIA_HELP
    )
    test_rows = PairsField(
        label="Held-out rows",
        help_text=f"{PAIR_HELP} Used for measuring only, never for training. "
        "Without any, part of the dataset is set aside.",
    )
    metric = forms.ChoiceField(required=False, choices=METRIC_CHOICES, help_text=METRIC_HELP)


class RequirementForm(forms.Form):
    """What a model is to do; it can be edited until a version is made of it."""

    name = forms.CharField(
        max_length=80, help_text="Your programs call the model by this name, in lower case."
    )
    requirement = forms.CharField(
        max_length=20_000,
        widget=_area(5, "Label each message of a bank's customer with one of our intents…"),
        help_text="Who uses the model, what goes in, and what must come out, in plain words.",
    )
    objective = forms.CharField(
        required=False,
        max_length=5_000,
        widget=_area(2),
        help_text="What it is good for, and what matters most.",
    )
    policy = forms.CharField(
        required=False, max_length=5_000, widget=_area(2), help_text="What it must never do or say."
    )
    examples = PairsField(label="More examples", help_text=PAIR_HELP)

    @staticmethod
    def initial_of(model: CustomModel) -> dict[str, str]:
        texts = {name: getattr(model, name) for name in ("name", "requirement", "objective")}
        examples = "\n".join(json.dumps(row, ensure_ascii=False) for row in model.examples)
        return texts | {"policy": model.policy, "examples": examples}


class ModelDraftForm(RequirementForm, ContractFields):
    base = forms.ModelChoiceField(
        label="Base model",
        required=False,
        queryset=FoundationModel.objects.none(),
        empty_label="Recommended for the task",
        help_text="The next page says which one is recommended, and why.",
    )
    max_size_mb = forms.IntegerField(
        label="Largest size when served, in MB",
        required=False,
        min_value=1,
        help_text="Empty: as large as the base is.",
    )
    rows = forms.IntegerField(
        label="Rows to select", initial=DEFAULT_ROWS, help_text="How large the dataset may become."
    )
    student = StudentField()
    curation = CurationField()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        bases = self.fields["base"]
        assert isinstance(bases, forms.ModelChoiceField)
        bases.queryset = FoundationModel.objects.filter(is_installed=True)
        for row, side in product(range(EXAMPLE_ROWS), SIDES):
            widget = _area(1, side.capitalize())
            self.fields[f"example_{row}_{side}"] = forms.CharField(
                label=f"Example {row + 1}, {side}", required=False, widget=widget
            )

    @property
    def example_rows(self) -> list[list[BoundField]]:
        return [[self[f"example_{row}_{side}"] for side in SIDES] for row in range(EXAMPLE_ROWS)]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors:
            self._make_draft(cleaned)
        return cleaned

    def _make_draft(self, cleaned: dict[str, Any]) -> None:
        values = {name: value for name, value in cleaned.items() if not name.startswith("example_")}
        values |= {
            "base": cleaned["base"].name if cleaned["base"] else "",
            "examples": self._typed_examples(cleaned) + cleaned["examples"],
        }
        try:
            self.draft = ModelDraft(**values)
        except UserFacingError as error:
            add_refusal(self, error)

    def _typed_examples(self, cleaned: dict[str, Any]) -> list[dict[str, str]]:
        numbers = range(EXAMPLE_ROWS)
        rows = [{side: cleaned[f"example_{row}_{side}"] for side in SIDES} for row in numbers]
        return [row for row in rows if any(row.values())]


class ContractForm(ContractFields):
    """Criteria, metric and held-out rows of a model, until its contract is frozen."""

    def __init__(self, *args: Any, model: CustomModel, **options: Any) -> None:
        initial = {
            "success_criteria": "\n".join(map(str, model.success_criteria)),
            "metric": model.metric,
            "test_rows": "\n".join(json.dumps(row, ensure_ascii=False) for row in model.test_rows),
        }
        super().__init__(*args, **{"initial": initial, **options})


class ModelFilterForm(forms.Form):
    """Search and status of the list; what cannot be read is no filter."""

    q = forms.CharField(required=False, max_length=80, widget=forms.TextInput(SEARCH))
    status = forms.ChoiceField(
        required=False,
        choices=[("", "Any status"), *CustomModel.Status.choices],
        widget=forms.Select(attrs={"aria-label": "Status"}),
    )


class SystemPromptForm(forms.Form):
    system_prompt = forms.CharField(
        max_length=4_000,
        widget=_area(3),
        help_text="Stands in every training row, in the evaluation, and in calls that bring none. "
        "A change takes effect with the next build.",
    )
