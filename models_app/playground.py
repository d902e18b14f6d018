"""One prompt, two answers: the base model's beside the tuned one's, same system prompt."""

from dataclasses import dataclass

from models_app.models import ModelVersion
from models_app.serving import client
from models_app.serving_paths import base_paths, engine_paths
from modelstation.core.errors import UserFacingError


@dataclass(frozen=True)
class Answers:
    prompt: str
    base: client.Completion | None = None
    tuned: client.Completion | None = None
    error: UserFacingError | None = None


def answer(version: ModelVersion, prompt: str) -> Answers:
    """A model server that is down is part of the answer: the page says so in its place."""
    messages = [
        {"role": "system", "content": version.system_prompt},
        {"role": "user", "content": prompt},
    ]
    try:
        base, tuned = (
            client.generate(*paths, messages)
            for paths in (base_paths(version.base), engine_paths(version))
        )
    except UserFacingError as error:
        return Answers(prompt, error=error)
    return Answers(prompt, base=base, tuned=tuned)
