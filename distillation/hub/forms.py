from django import forms

from distillation.hub.candidates import Plan
from distillation.hub.services import MOST_ROWS
from distillation.limits import ORIGIN_CHARS
from modelstation.core.errors import UserFacingError


class HubImportForm(forms.Form):
    repo_id = forms.CharField(max_length=ORIGIN_CHARS)
    revision = forms.CharField(max_length=64)
    part = forms.CharField(max_length=400, required=False)  # “config / split”
    user = forms.CharField(max_length=120, required=False, label="Column of the input")
    assistant = forms.CharField(max_length=120, required=False, label="Column of the answer")
    max_rows = forms.IntegerField(
        min_value=1, max_value=MOST_ROWS, required=False, label="Rows at most"
    )

    def plan(self) -> Plan:
        """Raise UserFacingError for a form that was not filled in as it should."""
        if not self.is_valid():
            name, problems = next(iter(self.errors.items()))
            raise UserFacingError(str(problems[0]), param=str(name))
        said = self.cleaned_data
        config, _, split = said["part"].rpartition(" / ")
        return Plan(
            config, split, said["user"], said["assistant"], said["max_rows"] or Plan().max_rows
        )
