"""What can be wrong with a file (it is refused whole) and with one row (it is left out)."""

from dataclasses import dataclass
from typing import Any

from modelstation.core.errors import UserFacingError


class ImportRefused(UserFacingError):
    """Nothing of the file is loaded; the message says what is wrong, the hint what to do."""

    def __init__(self, file: str, message: str, *, code: str, hint: str) -> None:
        super().__init__(f"{file}: {message}", code=code, hint=hint)
        self.file = file

    def __str__(self) -> str:
        return f"{self.message} {self.hint}"


@dataclass(frozen=True)
class RowError:
    """One row that was left out. `line` counts from 1; in Parquet and JSON arrays see `readers`.

    `row` is what stood there, as far as it could be read: text, or the fields.
    """

    file: str
    line: int
    field: str
    code: str
    message: str
    hint: str
    row: Any = None

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}" + (f", field {self.field}" if self.field else "")
        return f"{where}: {self.message} {self.hint}"

    def as_dict(self) -> dict[str, str | int]:
        """Without the row: it may be of any size."""
        return {name: value for name, value in vars(self).items() if name != "row"}


class BadRow(ValueError):
    """Raised while one row is understood; the reader adds file and line and makes a RowError."""

    def __init__(self, code: str, field: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code, self.field, self.message, self.hint = code, field, message, hint

    def at(self, file: str, line: int, row: Any = None) -> RowError:
        return RowError(file, line, self.field, self.code, self.message, self.hint, row)
