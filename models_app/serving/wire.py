"""The JSON between the web process and the model server, typed at both ends. No Django."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from models_app.serving.answers import Completion, GenerationConfig, Piece
from models_app.serving.errors import ServingError
from modelstation.lm.chat import Message

T = TypeVar("T")


@dataclass(frozen=True)
class GenerateRequest:
    gguf: Path
    tokenizer_folder: Path
    messages: list[Message]
    config: GenerationConfig = field(default_factory=GenerationConfig)
    owner: str = ""
    stream: bool = False
    deadline_s: float = 0.0  # 0: the server's own

    def __post_init__(self) -> None:
        if not all({"role", "content"} <= message.keys() for message in self.messages):
            raise ValueError("every message needs a role and a content.")

    def within(self, roots: list[Path]) -> Self:
        """Return it with its paths resolved, refused where one leads out of the roots."""
        gguf, folder = (_allowed(path, roots) for path in (self.gguf, self.tokenizer_folder))
        return replace(self, gguf=gguf, tokenizer_folder=folder)


@dataclass(frozen=True)
class Failure:
    code: str
    message: str
    retry_after: int | None = None


@dataclass(frozen=True)
class Event:
    """A line of a stream, one of the three; a refusal's body is an `error` alone."""

    piece: Piece | None = None
    completion: Completion | None = None
    error: Failure | None = None


_ADAPTERS: dict[object, TypeAdapter[Any]] = {
    kind: TypeAdapter(kind) for kind in (GenerateRequest, Event, Completion)
}


def dump(value: object) -> bytes:
    return _ADAPTERS[type(value)].dump_json(value, exclude_none=True)


def parse(kind: type[T], data: bytes) -> T:
    """Raise ValueError where the JSON does not have this shape."""
    value: T = _ADAPTERS[kind].validate_json(data)
    return value


def parse_request(data: bytes) -> GenerateRequest:
    try:
        return parse(GenerateRequest, data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise ServingError(
            f"The request cannot be read: {place}: {first['msg']}.", code="invalid_request"
        ) from error


def _allowed(path: Path, roots: list[Path]) -> Path:
    """Resolve it, so that neither ".." nor a link leads out of the roots."""
    resolved = path.resolve()
    if not any(resolved.is_relative_to(root) for root in roots):
        raise ServingError("The requested file does not lie among the models.", code="path_refused")
    return resolved
