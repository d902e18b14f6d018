"""The words the pipeline speaks: frozen values, no behaviour beyond reading them.
Try it: pytest distillation/tests/pipeline/test_generator.py
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypedDict

import numpy as np
import numpy.typing as npt

from distillation.pipeline.licenses import LicensePolicy

Message = dict[str, str]
Vectors = npt.NDArray[np.float32]
OnProgress = Callable[[str, int, int], None]

DEFAULT_ROWS = 1000
# What is done with a row whose label is likely wrong.
LEAVE_OUT, REPAIR, KEEP = DOUBTFUL = ("leave_out", "repair", "keep")
LONGEST_ANSWER = 4000  # characters, where the words say nothing
TASK_KINDS = {
    "classify": "Label each input",
    "extract_json": "Extract facts as JSON",
    "sql": "Write SQL",
    "number": "Work out a number",
    "generate": "Write a text",
}


@dataclass(frozen=True)
class Example:
    input: str
    output: str


@dataclass(frozen=True)
class Correction:
    """What a person says a model should have answered; `reason` states who, when, and of what."""

    id: str
    input: str
    answer: str
    reason: str


@dataclass(frozen=True)
class Requirement:
    """What the user wrote. `system_prompt` is set when the user edited the compiled one."""

    text: str
    objective: str = ""
    policy: str = ""
    examples: tuple[Example, ...] = ()
    system_prompt: str = ""


@dataclass(frozen=True)
class LabelRule:
    """A person's word on one label of one source. Empty `mapped_to`: leave such rows out."""

    source: str
    label: str
    mapped_to: str


@dataclass(frozen=True)
class IntentEdits:
    """What a person corrected of what was understood. None: left as understood."""

    task_kind: str | None = None
    labels: tuple[str, ...] | None = None  # the whole set: no other label is allowed then
    json_schema: dict[str, Any] | None = None
    answer_min_chars: int | None = None
    answer_max_chars: int | None = None
    language: str | None = None  # ISO 639-1; "" for any
    label_map: tuple[LabelRule, ...] = ()
    label_descriptions: dict[str, str] | None = None  # by label; what an input of it is like

    def __post_init__(self) -> None:
        if self.task_kind is not None and self.task_kind not in TASK_KINDS:
            raise ValueError(f"task_kind must be one of {', '.join(TASK_KINDS)}")
        low, high = self.answer_min_chars, self.answer_max_chars
        if low is not None and low < 1:
            raise ValueError("answer_min_chars must be at least 1")
        if high is not None and high < (low or 1):
            raise ValueError("answer_max_chars must not be less than answer_min_chars")
        if self.labels is not None and len(self.labels) < 2:
            raise ValueError("labels needs at least two labels")


@dataclass(frozen=True)
class LabelMapping:
    """How one label of a source becomes one of the user's, proposed or decided by hand."""

    source: str
    label: str
    rows: int  # candidates that carry it
    mapped_to: str  # empty: nothing fits, such rows are refused
    how: str  # "same" | "name" | "meaning" | "hand" | ""
    similarity: float = 0.0


@dataclass(frozen=True)
class Query:
    """One text that rows are compared with, and where it came from."""

    text: str
    origin: str  # "requirement" | "example input" | "example" | "label"


@dataclass(frozen=True)
class Choice:
    """One answer to a question, and the corrections that it amounts to; none: by hand."""

    text: str
    intent_edits: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """What is in doubt. The first choice is what was understood."""

    field: str  # of IntentEdits
    sentence: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class IntentSpec:
    """What was understood. Empty labels or keys: not known yet, to learn from the sources."""

    task_kind: str  # "classify" | "extract_json" | "sql" | "number" | "generate"
    system_prompt: str
    queries: tuple[Query, ...]
    task_texts: tuple[str, ...]  # descriptions of the task, compared with descriptions of sources
    labels: tuple[str, ...] = ()
    labels_closed: bool = False  # True: no label beyond `labels` is allowed
    label_hints: tuple[str, ...] = ()  # named in passing: a source that has them is likelier
    label_count: int = 0  # how many labels the words speak of; 0: they do not say
    json_keys: tuple[str, ...] = ()
    json_schema: dict[str, Any] | None = None  # answers must validate against it
    language: str = ""  # ISO 639-1 of the inputs; empty: any
    label_rules: tuple[LabelRule, ...] = ()
    answer_pattern: str = ""
    answer_min_chars: int = 1
    answer_max_chars: int = LONGEST_ANSWER
    label_descriptions: dict[str, str] = field(default_factory=dict)  # by label, where given
    examples_outside: tuple[str, ...] = ()  # answers of examples that the closed set does not hold
    questions: tuple[Question, ...] = ()  # what a person should confirm before a build


@dataclass(frozen=True)
class SourceGroup:
    """The rows of one source that share a task; the unit of routing."""

    source_id: str
    source: str
    task: str
    rows: int
    description: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return (self.source_id, self.task)


@dataclass(frozen=True, eq=False)
class Candidate:
    """One corpus row. `embedding` is the unit vector of `text.embedding_text(messages)`."""

    id: str
    source_id: str
    source: str
    task: str
    license: str
    content_hash: str
    messages: tuple[Message, ...]
    embedding: Vectors
    tokens: int = 0
    language: str = ""  # ISO 639-1; empty: is not clear

    @property
    def group(self) -> tuple[str, str]:
        return (self.source_id, self.task)

    @property
    def answer(self) -> str:
        return self.messages[-1]["content"].strip()

    @property
    def system(self) -> str:
        first = self.messages[0]
        return first["content"].strip() if first["role"] == "system" else ""


@dataclass(frozen=True, eq=False)
class ScoredRow:
    """A candidate in the model's form: `input` and `answer` are what will be trained on."""

    candidate: Candidate
    input: str
    answer: str
    score: float
    relevance: float
    query: int  # index of the query that it is closest to
    fused: float = 0.0  # its best reciprocal rank over the dense and the lexical search
    step: str = "select"  # that put it in
    why: str = ""  # the reason, where it is another than its source and its query
    is_doubtful: bool = False  # rows like it have another label, and it was kept


class FunnelEntry(TypedDict):
    """A step as a run keeps it."""

    filter: str
    refused: int
    kept: int
    examples: list[str]


@dataclass(frozen=True)
class FunnelStep:
    """What one step refused, with a few examples for the person who asks why."""

    name: str
    refused: int
    kept: int
    examples: tuple[str, ...] = ()

    def to_json(self) -> FunnelEntry:
        return {
            "filter": self.name,
            "refused": self.refused,
            "kept": self.kept,
            "examples": list(self.examples),
        }


@dataclass(frozen=True)
class SelectionConfig:
    rows: int = DEFAULT_ROWS
    seed: int = 0
    selector: str = "round_robin"
    minimum_rows: int = 50
    license_policy: LicensePolicy = LicensePolicy()
    max_row_tokens: int = 1024
    answer_tokens: int | None = None  # stop there, if that comes before `rows`
    # Ids of sources that a person decided to use: near or not, their rows come first.
    use_sources: tuple[str, ...] = ()
    search_corpus: bool = True  # False: `use_sources` alone
    doubtful_rows: str = LEAVE_OUT  # one of DOUBTFUL
    candidates_per_row: int = 8
    diversity_lambda: float = 0.7  # 1: the best rows, however alike; 0: the most different ones
    source_share: float = 0.7
    replay_share: float = 0.05  # of other work, so that a writer does not unlearn the rest
    valid_share: float = 0.1
    test_share: float = 0.1
    minimum_test_rows: int = 50

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError("rows must be at least 1")
        if self.minimum_rows < 1:
            raise ValueError("minimum_rows must be at least 1")
        if self.doubtful_rows not in DOUBTFUL:
            raise ValueError(f"doubtful_rows must be one of {', '.join(DOUBTFUL)}")
        if not 0 <= self.diversity_lambda <= 1:
            raise ValueError("diversity_lambda must lie between 0 and 1")
        if not 0 <= self.replay_share < 0.5:
            raise ValueError("replay_share must be less than a half")
        if not 0 <= self.valid_share + self.test_share < 1:
            raise ValueError("valid_share and test_share must leave rows for training")

    def candidates_per_query(self, queries: int) -> int:
        return min(2000, max(200, self.candidates_per_row * self.rows // max(1, queries)))


class Catalog(Protocol):
    """The corpus as the pipeline sees it: only the rows this organisation may use."""

    refused_by_license: int  # rows that it would see under another licence policy

    def license_examples(self) -> Sequence[str]:
        """Return a few of them, for the person who asks."""

    def source_groups(self) -> Sequence[SourceGroup]: ...

    def background(self, per_source: int) -> Sequence[Candidate]:
        """Return a fixed sample, about `per_source` rows of each source, spread over its groups."""

    def nearest(
        self, vectors: Vectors, *, limit: int, source_ids: Sequence[str] | None = None
    ) -> list[list[Candidate]]:
        """For each vector the `limit` rows of highest cosine, best first."""

    def lexical(
        self, texts: Sequence[str], *, limit: int, source_ids: Sequence[str] | None = None
    ) -> list[list[Candidate]]:
        """For each text the `limit` rows that share the rarest of its words, best first."""

    def rows(self, groups: Sequence[tuple[str, str]], *, limit: int) -> Sequence[Candidate]:
        """Up to `limit` rows of these (source_id, task) groups, in the order of their hash."""


class TextEmbedder(Protocol):
    def embed(self, texts: Sequence[str]) -> Vectors:
        """(n, dimensions) float32, rows of length one."""


class AnswerScorer(Protocol):
    def nats_per_token(
        self, shown: Sequence[tuple[str, str]], questions: Sequence[tuple[str, str]]
    ) -> list[float]:
        """For each question the mean negative log-likelihood of its answer, after the pairs
        `shown`.
        """
