"""The form that a dataset is pushed to the hub with."""

from django import forms


class PushForm(forms.Form):
    repo_id = forms.CharField(
        label="Repository",
        max_length=200,
        help_text="namespace/name; it is made if it is not there yet.",
        widget=forms.TextInput(
            attrs={"placeholder": "acme/support-tickets", "spellcheck": "false"}
        ),
    )
    is_private = forms.BooleanField(
        label="Private: only members of the namespace see it", required=False, initial=True
    )
