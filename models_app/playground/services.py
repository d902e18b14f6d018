"""One prompt, two or three answers side by side: the base's, the chosen version's, another's.

They are requested at the same time, each in a thread of its own, and passed on as they come.
"""

import logging
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from models_app.gateway.paths import base_paths, engine_paths
from models_app.models import ModelVersion
from models_app.serving import client
from models_app.serving.client import Completion, GenerationConfig, Piece
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
    first_milliseconds: int = 0  # until the first piece; 0 where nothing was streamed

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
    """All at once, in the order of the columns. A failure is an answer too: the page says so in
    its place.
    """
    with ThreadPoolExecutor(len(columns)) as threads:
        return list(threads.map(lambda column: _answer(column, question, owner), columns))


def turns_after(answers: list[Answer], question: Question) -> tuple[Turn, ...]:
    """Return the conversation so far, should it go on; nothing where a column failed."""
    if any(answer.completion is None for answer in answers):
        return question.turns
    said = {answer.column.name: answer.text for answer in answers}
    return (*question.turns, Turn(question.prompt, said))


# --- Streaming ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Message:
    column: Column
    piece: str = ""
    answer: Answer | None = None


@dataclass
class Conversation:
    """Put to all columns at once; iterate over what they say as they say it."""

    columns: list[Column]
    question: Question
    owner: str
    heartbeat: float
    answers: list[Answer] = field(default_factory=list)  # those that are done
    pieces: dict[str, list[str]] = field(default_factory=dict)  # the pieces so far, by column
    _messages: "queue.SimpleQueue[_Message]" = field(default_factory=queue.SimpleQueue)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __iter__(self) -> Iterator[tuple[Column, str | Answer] | None]:
        """Yield a column with a piece of its text, then with its whole answer; None while all are
        silent.

        Closing it stops those that still answer, at their next piece.
        """
        for column in self.columns:
            threading.Thread(target=self._ask, args=(column,), daemon=True).start()
        try:
            while len(self.answers) < len(self.columns):
                yield self._next()
        finally:
            self._stopped.set()

    def _next(self) -> tuple[Column, str | Answer] | None:
        try:
            message = self._messages.get(timeout=self.heartbeat)
        except queue.Empty:
            return None
        if message.answer is None:
            self.pieces.setdefault(message.column.name, []).append(message.piece)
            return message.column, message.piece
        self.answers.append(message.answer)
        return message.column, message.answer

    def _ask(self, column: Column) -> None:
        answer = Answer(column, self.question)
        began = time.monotonic()
        try:
            answer = self._listen(answer, began)
        except UserFacingError as error:
            answer = replace(answer, error=error)
        except Exception:
            logger.exception("the answer of %s broke", column.title)
            answer = replace(answer, error=UserFacingError(INTERNAL_ERROR, code="internal_error"))
        self._messages.put(_Message(column, answer=replace(answer, milliseconds=_since(began))))

    def _listen(self, answer: Answer, began: float) -> Answer:
        messages, config = messages_of(answer.column, self.question), self.question.config
        pieces = client.stream(*answer.column.paths, messages, config, owner=self.owner)
        with closing(pieces):  # type: ignore[type-var]
            for piece in pieces:
                if self._stopped.is_set():
                    break
                if isinstance(piece, Piece):
                    first = answer.first_milliseconds or _since(began)
                    text = answer.text + piece.text
                    answer = replace(answer, text=text, first_milliseconds=first)
                    self._messages.put(_Message(answer.column, piece.text))
                else:
                    answer = replace(answer, text=piece.text, completion=piece)
        return answer


# --- helpers --------------------------------------------------------------------------------------


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


def _answer(column: Column, question: Question, owner: str) -> Answer:
    answer, began = Answer(column, question), time.monotonic()
    try:
        messages = messages_of(column, question)
        done = client.generate(*column.paths, messages, question.config, owner=owner)
        answer = replace(answer, text=done.text, completion=done)
    except UserFacingError as error:
        answer = replace(answer, error=error)
    return replace(answer, milliseconds=_since(began))


def _since(began: float) -> int:
    return max(1, round(1000 * (time.monotonic() - began)))
