"""Why a request is not served. No Django."""


class ServingError(Exception):
    """A request that cannot be served; `message` is a sentence for the user.

    `retry_after`: seconds after which another try may help.
    """

    def __init__(self, message: str, *, code: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retry_after = retry_after
