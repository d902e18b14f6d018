"""Answers that the model's live version proposes, for tasks that no linear head can answer."""

from distillation.labelling.answers import AnswerForm
from distillation.labelling.rows import ModelInput
from models_app.gateway.paths import engine_paths
from models_app.models import CustomModel
from models_app.serving import client
from models_app.serving.client import GenerationConfig
from modelstation.core.errors import UserFacingError
from modelstation.core.jobs.lease import Lease
from modelstation.lm.chat import Message

AHEAD = 25  # inputs that are pre-filled before they are asked
MOST_TOKENS = 512


def prefill(model: CustomModel, form: AnswerForm, lease: Lease) -> None:
    """Propose for those that are asked next. Without a live version, or a server, do nothing."""
    version = model.live_version
    if version is None:
        return
    asked_next = list(model.inputs.open()[:AHEAD])
    rows = [row for row in asked_next if row.proposed_by != str(version)]
    gguf, tokenizer = engine_paths(version)
    schema = form.intent.json_schema or ({} if form.fields else None)
    config = GenerationConfig(max_new_tokens=MOST_TOKENS, json_schema=schema)
    for number, row in enumerate(rows, 1):
        lease.progress(step=number, total_steps=len(rows))
        try:
            messages = _messages(version.system_prompt, row.text)
            said = client.generate(gguf, tokenizer, messages, config, owner=str(model.org_id))
        except UserFacingError as error:
            lease.log(f"The live model does not answer, so nothing is pre-filled: {error.message}")
            return
        ModelInput.objects.filter(id=row.id).update(
            proposal=_fitting(form, said.text), proposed_by=str(version)[:80], chance=None
        )


def _messages(system_prompt: str, text: str) -> list[Message]:
    system: list[Message] = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return [*system, {"role": "user", "content": text}]


def _fitting(form: AnswerForm, said: str) -> str:
    """An answer of another form is no help: the fields stay empty."""
    try:
        return form.fitting(said)
    except UserFacingError:
        return ""
