"""A row of a teacher on its way through the checks. No Django inside."""

from dataclasses import dataclass, field

from distillation.pipeline.types import Example


@dataclass(eq=False)
class TaughtRow:
    """`refusal` is empty for as long as nothing is held against it."""

    input: str
    output: str
    seed: int = 0
    cost: float = 0.0
    refusal: str = ""
    detail: str = ""
    again: list[bool] = field(default_factory=list)  # did independent answers agree?
    verdicts: list[bool] = field(default_factory=list)
    is_unusual: bool = False  # breaks a convention that border cases break too
    confidence: float | None = None
    checked_by: list[str] = field(default_factory=list)
    flags: tuple[str, ...] = ()
    line: int = 0

    @property
    def is_kept(self) -> bool:
        return not self.refusal

    def refuse(self, reason: str, detail: str = "") -> None:
        if not self.refusal:
            self.refusal, self.detail = reason, detail

    @property
    def example(self) -> Example:
        return Example(self.input, self.output)
