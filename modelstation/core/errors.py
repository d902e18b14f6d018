"""Two kinds of failure: a sentence for the user, or a traceback for the operator. No Django."""

from typing import ClassVar

DISK_FULL = "No disk space is left. Nothing half-written was kept; free some space, then try again."


class UserFacingError(Exception):
    """A failure that the user can understand and act upon: `message` is shown as it stands."""

    status = 400  # of the API's answer
    headers: ClassVar[dict[str, str]] = {}

    def __init__(
        self, message: str, *, code: str = "invalid", hint: str = "", param: str = ""
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.hint, self.param = message, code, hint, param
        self.details: dict[str, object] = {}  # more that a program may need, beside the sentence

    @property
    def text(self) -> str:
        return f"{self.message} {self.hint}".strip()


class NotFound(UserFacingError):
    status = 404


class Conflict(UserFacingError):
    """What is requested does not go with how things stand. Permanent, and it says so: some clients
    retry every 409."""

    status = 409
    headers: ClassVar = {"x-should-retry": "false"}


class Busy(Conflict):
    """A conflict that ends by itself: to ask again later makes sense."""

    headers: ClassVar = {}


class TooLarge(UserFacingError):
    status = 413


class Unprocessable(UserFacingError):
    status = 422


class TooMany(UserFacingError):
    status = 429


class Unavailable(UserFacingError):
    status = 503


class NoSpace(UserFacingError):
    status = 507
