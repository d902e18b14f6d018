"""What ends work before its result: raised by the lease and the supervisor, caught by run_job."""


class LeaseLost(Exception):
    """Somebody else holds the job now: stop, and write nothing."""


class Cancelled(Exception):
    """The user requested that the job stops."""


class Paused(Exception):
    """The user requested that the job waits; its checkpoints stay."""


class Drained(Exception):
    """This worker is shutting down: another goes on with the job."""


class Crashed(Exception):
    """The work died without saying why: tried again, a few times. `code` and `text` are what the
    job ends with when it dies each time."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class RetrySmaller(Exception):
    """The GPU was too small: tried once more, with `overrides` laid over the job's config."""

    def __init__(self, overrides: dict[str, int], text: str) -> None:
        super().__init__(text)
        self.overrides, self.text = overrides, text
