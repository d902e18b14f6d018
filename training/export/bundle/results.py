"""The parity certificate as data: what was checked and replayed, and what came out."""

from dataclasses import dataclass

from pydantic import JsonValue, TypeAdapter

PASS, FAIL = "pass", "fail"


@dataclass(frozen=True)
class Check:
    name: str
    passed: bool
    sentence: str


@dataclass(frozen=True)
class Reference:
    what: str
    score: float
    low: float
    high: float


@dataclass(frozen=True)
class ArtifactResult:
    """Agreement and score are those of its answers; None where it was not replayed."""

    name: str
    file: str
    how: str
    made_of: dict[str, int]  # of a GGUF: how many tensors are of which type
    checks: list[Check]
    agreement: float | None
    score: float | None
    low: float | None
    high: float | None
    verdict: str
    sentence: str


@dataclass(frozen=True)
class Certificate:
    rows: int
    metric: str
    max_tokens: int
    reference: Reference
    artifacts: list[ArtifactResult]
    verdict: str

    def to_json(self) -> JsonValue:
        json: JsonValue = TypeAdapter(Certificate).dump_python(self, mode="json")
        return json
