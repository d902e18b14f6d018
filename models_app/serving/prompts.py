"""Messages as token ids, and the part of them that many requests share. No Django."""

from functools import lru_cache
from itertools import takewhile

from models_app.serving.errors import ServingError
from modelstation.lm.chat import ChatRenderer, Message

# Two contents that begin unlike each other: what both prompts share, no content has touched.
_PROBES = ("x", "\n\n1")


class PromptReader:
    """Thread-safe."""

    def __init__(self, renderer: ChatRenderer) -> None:
        self._renderer = renderer
        self._system_prefix = lru_cache(256)(self._find_system_prefix)

    def prompt(self, messages: list[Message]) -> list[int]:
        try:
            return self._renderer.render_prompt(messages)
        except ValueError as error:
            raise ServingError(str(error), code="invalid_messages") from error

    def shared_prefix(self, messages: list[Message], prompt: list[int]) -> tuple[int, ...]:
        """Return the ids of the leading system messages, up to the first user's words."""
        leading = takewhile(lambda message: message["role"] == "system", messages)
        prefix = self._system_prefix(tuple(message["content"] for message in leading))
        return prefix if tuple(prompt[: len(prefix)]) == prefix else ()

    def _find_system_prefix(self, texts: tuple[str, ...]) -> tuple[int, ...]:
        system: list[Message] = [{"role": "system", "content": text} for text in texts]
        try:
            first, second = (
                self._renderer.render_prompt([*system, {"role": "user", "content": probe}])
                for probe in _PROBES
            )
        except ValueError:
            return ()
        pairs = zip(first, second, strict=False)
        shared = next((n for n, (one, other) in enumerate(pairs) if one != other), 0)
        return tuple(first[:shared])
