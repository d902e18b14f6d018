"""What the model server is asked, read from JSON and checked. No Django."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request

from models_app.serving.engine import GenerationConfig
from models_app.serving.errors import ServingError
from modelstation.lm.chat import Message


@dataclass(frozen=True)
class ModelFiles:
    gguf: Path
    tokenizer_folder: Path


@dataclass(frozen=True)
class Asked:
    files: ModelFiles
    messages: list[Message]
    config: GenerationConfig
    owner: str
    stream: bool
    deadline_s: float


async def read_json(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except (ValueError, RecursionError) as error:
        raise ServingError("The body is not JSON.", code="invalid_request") from error
    if not isinstance(body, dict):
        raise ServingError("The body must be an object.", code="invalid_request")
    return body


def read_generate(body: dict[str, Any], roots: list[Path], most_seconds: float) -> Asked:
    try:
        return Asked(
            files=read_files(body, roots),
            messages=[_message(message) for message in body["messages"]],
            config=_config(dict(body.get("config") or {})),
            owner=str(body.get("owner") or ""),
            stream=bool(body.get("stream")),
            deadline_s=min(most_seconds, float(body.get("deadline_s") or most_seconds)),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ServingError(
            f"The request cannot be read: {error!r}.", code="invalid_request"
        ) from error


def read_files(body: dict[str, Any], roots: list[Path]) -> ModelFiles:
    try:
        return ModelFiles(_allowed(body["gguf"], roots), _allowed(body["tokenizer_folder"], roots))
    except (KeyError, TypeError, ValueError) as error:
        raise ServingError(
            "gguf and tokenizer_folder must be paths.", code="invalid_request"
        ) from error


def read_texts(body: dict[str, Any]) -> list[str]:
    texts = body.get("texts")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ServingError("texts must be a list of strings.", code="invalid_request")
    return texts


def _config(given: dict[str, Any]) -> GenerationConfig:
    """JSON has no tuples, and no keys that are numbers."""
    bias = {int(token): float(value) for token, value in given.get("logit_bias", {}).items()}
    schema = given.get("json_schema")
    if schema is not None and not isinstance(schema, dict):
        raise TypeError("json_schema must be an object")
    return GenerationConfig(**{**given, "stop": tuple(given.get("stop", ())), "logit_bias": bias})


def _message(given: dict[str, Any]) -> Message:
    role, content = given["role"], given["content"]
    if not isinstance(role, str) or not isinstance(content, str):
        raise TypeError("role and content must be strings")
    return {"role": role, "content": content}


def _allowed(path: str, roots: list[Path]) -> Path:
    """The resolved path, so that neither ".." nor a link leads out of the roots."""
    resolved = Path(path).resolve()
    if not any(resolved.is_relative_to(root) for root in roots):
        raise ServingError("The file asked for does not lie among the models.", code="path_refused")
    return resolved
