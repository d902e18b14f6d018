"""Why a request is not served. No Django."""

from pathlib import Path

BUSY_RETRY_S = 5


class ServingError(Exception):
    """A request that cannot be served; `message` is a sentence for the user.

    `retry_after`: seconds after which another try may help.
    """

    def __init__(self, message: str, *, code: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retry_after = retry_after


def busy(message: str, retry_after: int | None = None) -> ServingError:
    return ServingError(message, code="server_busy", retry_after=retry_after or BUSY_RETRY_S)


def too_long(count: int, most: int) -> ServingError:
    return ServingError(
        f"The prompt has {count} tokens; this model takes fewer than {most}, "
        "answer included. Shorten the messages.",
        code="context_length_exceeded",
    )


def too_late(deadline_s: float) -> ServingError:
    message = f"The answer was not ready within {deadline_s:g} seconds. Ask for fewer tokens."
    return ServingError(message, code="deadline_exceeded")


def not_there(gguf: Path) -> ServingError:
    message = f"The model file {gguf.name} does not exist."
    return ServingError(message, code="model_file_missing")
