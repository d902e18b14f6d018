"""The form of a training's settings: a field for each of TrainingConfig's, empty for automatic."""

from typing import Any

from django import forms
from django.forms.boundfield import BoundField

from modelstation.core.errors import UserFacingError
from training.plan.estimate.refusals import BUDGETS
from training.plan.services import checked
from training.recipes.config import SETTINGS, Setting, Settings

Rows = dict[str, list[tuple[BoundField, str, str]]]
METHOD_LABELS = {
    "lora": "LoRA",
    "dora": "DoRA: a little better, a third slower",
    "full": "Full fine-tuning: most memory",
}
LABELS = {
    "lora_rank": "LoRA rank",
    "lora_alpha": "LoRA alpha",
    "max_seq_len": "Longest row, in tokens",
    "tokens_per_batch": "Tokens a batch",
    "micro_batch_tokens": "Tokens at once",
    "max_steps": "Steps",
    "max_minutes": "Budget in minutes",
    "max_tokens": "Budget in tokens",
    "eval_every": "Validate every … steps",
    "checkpoint_every": "Checkpoint every … steps",
    "warmup_ratio": "Warm-up, share of steps",
    "final_lr_ratio": "Last learning rate, share",
    "max_grad_norm": "Largest gradient norm",
    "dtype": "Number format",
}
FIRST = (
    "method", "epochs", "max_steps", "learning_rate", "lora_rank", "tokens_per_batch",
    "max_seq_len", "max_minutes", "max_tokens",
)  # fmt: skip


class PlanForm(forms.Form):
    """What is left empty is chosen automatically; TrainingConfig alone decides what is valid."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, setting in SETTINGS.items():
            self.fields[name] = _field(name, str(setting.type), setting.metadata.get("choices", ()))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        self.requested = {name: value for name, value in cleaned.items() if value not in (None, "")}
        try:
            checked(self.requested)
        except UserFacingError as error:
            name = error.message.split(" ", 1)[0]
            self.add_error(name if name in self.fields else None, error.message)
        return cleaned


def rows(form: PlanForm, resolved: Settings, reasons: dict[str, str]) -> Rows:
    """(field, value that would be used, why) of those that matter first, and of the others."""
    shown: Rows = {"first": [], "others": []}
    for field in sorted(form, key=lambda each: FIRST.index(each.name) if each.name in FIRST else 9):
        part = "first" if field.name in FIRST else "others"
        used, reason = resolved.get(field.name), reasons.get(field.name, "")
        shown[part].append((field, _written(used), reason))
    return shown


def _written(value: Setting) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def _field(name: str, kind: str, choices: tuple[str, ...]) -> forms.Field:
    label = LABELS.get(name, name.replace("_", " ").capitalize())
    if choices:
        named = [(value, METHOD_LABELS.get(value, value)) for value in choices if value != "auto"]
        return forms.ChoiceField(choices=[("", "Automatic"), *named], required=False, label=label)
    attrs = {"placeholder": "no limit" if name in BUDGETS else "automatic"}
    if "float" in kind:
        number = forms.NumberInput(attrs=attrs | {"step": "any"})
        return forms.FloatField(widget=number, required=False, label=label)
    return forms.IntegerField(widget=forms.NumberInput(attrs=attrs), required=False, label=label)
