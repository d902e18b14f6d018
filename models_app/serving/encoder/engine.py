"""Answers with the encoder student: the likeliest label of the last user message, in this process.

The frozen encoder is shared by all of them, so that each takes no more memory than its head. It
decodes nothing: temperature, seed, penalties and stop sequences change no answer. No Django, no
torch.
"""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from models_app.serving.answers import (
    Completion,
    GenerationConfig,
    LabelProbability,
    Piece,
    TokenLogprob,
)
from models_app.serving.errors import ServingError, not_there
from models_app.serving.json_schemas import refused
from modelstation.lm.chat import Message
from modelstation.lm.encoder.encoders import encoder_bytes, load_encoders
from modelstation.lm.encoder.head import HEAD_FILE, Head, last_question

MOST_LABELS = 20  # of an answer, with their probabilities
LEAST = 1e-12  # of a probability, for its logarithm
TOKEN = re.compile(r"\w+|[^\w\s]")  # what is counted as read: words and marks


def is_encoder(model_file: Path) -> bool:
    """Whether a model's file is the head of an encoder, and not a GGUF."""
    return model_file.name == HEAD_FILE


def shared_bytes(head_file: Path) -> int:
    """Of the encoders that a head builds on, as they lie on the disk."""
    return sum(map(encoder_bytes, Head.load(head_file.parent).encoders))


class EncoderEngine:
    """One loaded head. Thread-safe."""

    def __init__(self, head_file: Path) -> None:
        if not head_file.is_file():
            raise not_there(head_file)
        try:
            self._head = Head.load(head_file.parent)
            self._encoders = load_encoders(self._head.settings)
        except ValueError as error:
            raise ServingError(str(error), code="model_unreadable") from error
        self.own_bytes = sum(each.nbytes for each in self._head.tensors.values())

    def generate(self, messages: list[Message], config: GenerationConfig) -> Completion:
        return self.run(messages, config)

    def run(
        self,
        messages: list[Message],
        config: GenerationConfig,
        on_piece: Callable[[Piece], bool] = lambda piece: False,
    ) -> Completion:
        if config.json_schema is not None:
            raise refused("this model answers with a label of its own")
        text = last_question(messages)
        if not text.strip():
            message = "This model answers the last user message, and there is none with text."
            raise ServingError(message, code="invalid_messages")
        chances = self._head.probabilities(text, self._encoders)
        order = (-chances).argsort(kind="stable")[:MOST_LABELS]
        names = self._head.settings.labels
        labels = tuple(LabelProbability(names[n], float(chances[n])) for n in order)
        logprobs = () if config.top_logprobs is None else (_logprobs(labels, config.top_logprobs),)
        answer = labels[0].label
        on_piece(Piece(answer, logprobs))
        read = len(TOKEN.findall(text))
        return Completion(answer, read, 1, "stop", logprobs=logprobs, labels=labels)

    def generate_many(
        self,
        conversations: Sequence[list[Message]],
        config: GenerationConfig,
        on_done: Callable[[int], None] | None = None,
    ) -> list[Completion]:
        answers = []
        for done, messages in enumerate(conversations, 1):
            answers.append(self.run(messages, config))
            if on_done:
                on_done(done)
        return answers

    def close(self) -> None:
        """Nothing is held but the head."""


def _logprobs(labels: Sequence[LabelProbability], top: int) -> TokenLogprob:
    """A label is one token, and the other labels are its alternatives."""
    tokens = tuple(
        TokenLogprob(each.label, math.log(max(each.probability, LEAST)), tuple(each.label.encode()))
        for each in labels
    )
    return TokenLogprob(tokens[0].token, tokens[0].logprob, tokens[0].bytes, tokens[:top])
