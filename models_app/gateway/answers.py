"""One answer or several of the model server, and the count of what was used."""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from models_app.gateway.model_resolver import Served
from models_app.gateway.requests import RANDOM_SEED
from models_app.serving import client
from models_app.serving.client import Completion, GenerationConfig, Piece
from models_app.serving.streams import together
from models_app.usage.metering import Meter, total
from models_app.usage.token_usage import count_unfinished
from modelstation.lm.chat import Message

AT_ONCE = 8  # answers of one request that are written at a time
Pieces = Generator[tuple[int, Piece | Completion], None, None]


@dataclass(frozen=True)
class Question:
    """A request for `choices` answers to each conversation, numbered in that order."""

    meter: Meter
    conversations: Sequence[list[Message]]
    config: GenerationConfig
    choices: int = 1

    @property
    def served(self) -> Served:
        return self.meter.served

    @property
    def count(self) -> int:
        return len(self.conversations) * self.choices

    def answers(self) -> list[Completion]:
        """All of them, counted."""
        if self.count == 1:
            completions = [self._answer(0)]
        else:
            with ThreadPoolExecutor(min(self.count, AT_ONCE)) as executor:
                completions = list(executor.map(self._answer, range(self.count)))
        self.record(completions)
        return completions

    def pieces(self) -> Pieces:
        """Of all answers as they come, each with the number of its answer."""
        if self.count == 1:
            return _numbered(self._stream(0))
        return _together([self._stream(number) for number in range(self.count)])

    def messages(self, number: int) -> list[Message]:
        return self.conversations[number // self.choices]

    def used(self, completions: Sequence[Completion]) -> Completion:
        return total(completions, self.choices)

    def record(self, completions: Sequence[Completion]) -> None:
        self.meter.record(self.used(completions))

    def _answer(self, number: int) -> Completion:
        return client.generate(*self._input(number), owner=str(self.meter.token.org_id))

    def _stream(self, number: int) -> Iterator[Piece | Completion]:
        return client.stream(*self._input(number), owner=str(self.meter.token.org_id))

    def _input(self, number: int) -> tuple[Path, Path, list[Message], GenerationConfig]:
        """Each choice has a seed of its own: with one seed all would be the same."""
        seed = self.config.seed
        if seed is not None:
            seed = (seed + number % self.choices) % RANDOM_SEED
        config = replace(self.config, seed=seed)
        return self.served.gguf, self.served.tokenizer_folder, self.messages(number), config


class Tally:
    """What of a stream has gone out so far."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._texts = [""] * question.count
        self._pieces = [0] * question.count
        self._completions: list[Completion | None] = [None] * question.count

    def add(self, number: int, piece: Piece | Completion) -> None:
        if isinstance(piece, Completion):
            self._completions[number] = piece
        else:
            self._texts[number] += piece.text
            self._pieces[number] += 1

    def characters(self, number: int) -> int:
        return len(self._texts[number])

    @property
    def completions(self) -> list[Completion] | None:
        """All of them; None while one is still being written."""
        ended = [each for each in self._completions if each is not None]
        return ended if len(ended) == len(self._completions) else None

    def record_abandoned(self) -> None:
        """Count what was written for a client that has left: it was used all the same."""
        if self.completions is None:
            self._question.record(
                [each or self._counted(number) for number, each in enumerate(self._completions)]
            )

    def _counted(self, number: int) -> Completion:
        folder, messages = self._question.served.tokenizer_folder, self._question.messages(number)
        return count_unfinished(folder, messages, self._texts[number], self._pieces[number])


def _numbered(pieces: Iterator[Piece | Completion]) -> Pieces:
    with closing(pieces):  # type: ignore[type-var]
        for piece in pieces:
            yield 0, piece


def _together(streams: list[Iterator[Piece | Completion]]) -> Pieces:
    with closing(together(streams)) as arriving:
        for number, piece in filter(None, arriving):
            if isinstance(piece, Exception):
                raise piece
            yield number, piece
