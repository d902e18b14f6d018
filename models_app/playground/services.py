"""One prompt, two or three answers side by side: the base's, the chosen version's, another's.

They are requested at the same time, each in a thread of its own, and passed on as they come.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from models_app.gateway.paths import base_paths, engine_paths
from models_app.models import ModelVersion
from models_app.serving import client
from models_app.serving.client import Completion, GenerationConfig, Piece
from models_app.serving.streams import together
from modelstation.core.errors import UserFacingError
from modelstation.core.web.api import INTERNAL_ERROR
from modelstation.lm.chat import Message
from modelstation.lm.json_schema import Schema, misfit

logger = logging.getLogger("modelstation.playground")
BASE, TUNED, OTHER = "base", "tuned", "other"


@dataclass(frozen=True)
class Turn:
    """The user's words of an earlier turn, and what each column answered."""

    user: str
    answers: dict[str, str]


@dataclass(frozen=True)
class Question:
    prompt: str
    config: GenerationConfig = GenerationConfig()
    system_prompt: str = ""  # empty: each version's own
    schema: Schema | None = None
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True)
class Column:
    """Who answers: a version, or the base that the chosen one was made from."""

    name: str
    title: str
    paths: tuple[Path, Path]
    system_prompt: str
    counted_as: str  # in what was used: the model's slug, or the base
    version: ModelVersion | None = None


@dataclass(frozen=True)
class Answer:
    column: Column
    question: Question
    text: str = ""
    completion: Completion | None = None  # None: not done yet, or failed
    error: UserFacingError | None = None
    milliseconds: int = 0
    first_milliseconds: int = 0  # until the first piece; 0 where there was none

    @property
    def is_waiting(self) -> bool:
        return self.completion is None and self.error is None

    @property
    def misfit(self) -> str:
        """What keeps it from fitting the requested schema."""
        return misfit(self.text, self.question.schema) if self.question.schema else ""

    @property
    def earlier(self) -> list[tuple[str, str]]:
        name = self.column.name
        return [(turn.user, turn.answers.get(name, "")) for turn in self.question.turns]

    @property
    def conversation(self) -> str:
        """As one text, for a correction: every turn before this answer."""
        turns = _spoken(self.column, self.question)
        if len(turns) == 1:
            return turns[0]["content"]
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)

    @property
    def said(self) -> dict[str, str | int]:
        """What a correction of it begins with."""
        return {
            "version": self.column.version.number if self.column.version else 0,
            "input": self.conversation,
            "wrong_answer": self.text,
            "system_prompt": self.question.system_prompt or self.column.system_prompt,
        }


def columns_of(version: ModelVersion, other: ModelVersion | None = None) -> list[Column]:
    name, paths = version.base_id, base_paths(version.base)
    base = Column(BASE, f"Base, {name}", paths, version.system_prompt, counted_as=name)
    columns = [base, _of_version(TUNED, version)]
    if other is not None and other != version:
        columns.append(_of_version(OTHER, other))
    return columns


def messages_of(column: Column, question: Question) -> list[Message]:
    prompt = question.system_prompt or column.system_prompt
    system: list[Message] = [{"role": "system", "content": prompt}] if prompt else []
    return system + _spoken(column, question)


def answer_all(columns: list[Column], question: Question, *, owner: str) -> list[Answer]:
    """All at once, in the order of the columns."""
    conversation = Conversation(columns, question, owner)
    for _ in conversation:
        pass  # until all are done
    return sorted(conversation.answers, key=lambda answer: columns.index(answer.column))


def turns_after(answers: list[Answer], question: Question) -> tuple[Turn, ...]:
    """Return the conversation so far, should it go on; nothing where a column failed."""
    if any(answer.completion is None for answer in answers):
        return question.turns
    said = {answer.column.name: answer.text for answer in answers}
    return (*question.turns, Turn(question.prompt, said))


@dataclass
class Conversation:
    """Put to all columns at once; iterate over what they say as they say it."""

    columns: list[Column]
    question: Question
    owner: str
    heartbeat: float | None = None  # seconds
    answers: list[Answer] = field(default_factory=list)  # those that are done
    pieces: dict[str, list[str]] = field(default_factory=dict)  # the pieces so far, by column
    began: float = field(default_factory=time.monotonic)

    def __iter__(self) -> Iterator[tuple[Column, str | Answer] | None]:
        """Yield a column with a piece of its text, then with its whole answer; None while all are
        silent. Closing it stops those that still answer, at their next piece.
        """
        firsts: dict[str, int] = {}  # milliseconds until the first piece, by column
        streams = [self._stream(column) for column in self.columns]
        with closing(together(streams, self.heartbeat)) as items:
            for item in items:
                if item is None:
                    yield None
                    continue
                column, part = self.columns[item[0]], item[1]
                milliseconds = max(1, round(1000 * (time.monotonic() - self.began)))
                if isinstance(part, Piece):
                    firsts.setdefault(column.name, milliseconds)
                    self.pieces.setdefault(column.name, []).append(part.text)
                    yield column, part.text
                else:
                    answer = replace(self._answer(column, part), milliseconds=milliseconds)
                    answer = replace(answer, first_milliseconds=firsts.get(column.name, 0))
                    self.answers.append(answer)
                    yield column, answer

    def _stream(self, column: Column) -> Iterator[Piece | Completion]:
        messages = messages_of(column, self.question)
        return client.stream(*column.paths, messages, self.question.config, owner=self.owner)

    def _answer(self, column: Column, done: Completion | Exception) -> Answer:
        """Take a failure for an answer too: the page says so in its place."""
        if isinstance(done, Completion):
            return Answer(column, self.question, done.text, done)
        if not isinstance(done, UserFacingError):
            logger.error("the answer of %s broke", column.title, exc_info=done)
            done = UserFacingError(INTERNAL_ERROR, code="internal_error")
        return Answer(column, self.question, error=done)


def _of_version(name: str, version: ModelVersion) -> Column:
    return Column(
        name=name,
        title=f"Tuned, v{version.number}",
        paths=engine_paths(version),
        system_prompt=version.system_prompt,
        counted_as=version.model.slug,
        version=version,
    )


def _spoken(column: Column, question: Question) -> list[Message]:
    turns: list[Message] = []
    for turn in question.turns:
        turns.append({"role": "user", "content": turn.user})
        turns.append({"role": "assistant", "content": turn.answers.get(column.name, "")})
    return [*turns, {"role": "user", "content": question.prompt}]
