"""Two kinds of failure: a sentence for the user, or a traceback for the operator. No Django
inside.
"""

DISK_FULL = "No disk space is left. Nothing half-written was kept; free some space, then try again."


class UserFacingError(Exception):
    """A failure that the user can understand and act upon; `message` is shown to them as it
    stands.
    """

    def __init__(
        self, message: str, *, code: str = "invalid", hint: str = "", param: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.param = param
