"""vLLM's log probabilities, given by token ids, as those of texts and bytes. No Django.

Ids, because two tokens may have one text (half a character has none of its own), and vLLM gives the
alternatives as a mapping: by their texts, some of them would be lost.
"""

import json
from collections import deque
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from models_app.serving.answers import TokenLogprob

PLACEHOLDER = "token_id:"  # what `return_tokens_as_token_ids` puts before an id
SPACE = "▁"  # how SentencePiece writes one
END = 2**63


class Vocabulary:
    """Which bytes the tokens of a tokenizer.json stand for."""

    def __init__(self, folder: Path) -> None:
        file = folder / "tokenizer.json"
        self._tokenizer = Tokenizer.from_file(str(file))
        self._added = self._tokenizer.get_added_tokens_decoder()
        decoder = json.loads(file.read_text(encoding="utf-8")).get("decoder") or {}
        kinds = {step.get("type") for step in decoder.get("decoders", [decoder])}
        self._is_byte_level = "ByteLevel" in kinds

    def is_special(self, token: int) -> bool:
        """One that no text shows: the end of an answer, for instance."""
        return token in self._added and bool(self._added[token].special)

    def bytes_of(self, token: int) -> bytes:
        """Empty for an id beyond the vocabulary, which models have room for."""
        if token in self._added:
            return str(self._added[token].content).encode()
        spelt = self._tokenizer.id_to_token(token) or ""
        return _of_letters(spelt) if self._is_byte_level else _of_pieces(spelt)


class LogprobReader:
    """Of one answer, whole or in pieces. Together the bytes that it reports are those of the text:
    tokens that the text leaves out, special ones and those of the stop text, are not reported. In a
    stream each is reported with the text that it begins: vLLM holds back text that could become
    a stop text, and letters of which bytes are missing, but not their tokens.
    """

    def __init__(self, vocabulary: Vocabulary, n_top: int) -> None:
        self._vocabulary = vocabulary
        self._n_top = n_top
        self._spelt = bytearray()  # all tokens so far
        self._shown = 0  # bytes of text so far
        self._waiting: deque[tuple[int, TokenLogprob]] = deque()  # with where each begins

    def read(self, choice: dict[str, Any]) -> tuple[TokenLogprob, ...]:
        self._take(choice.get("logprobs") or {"tokens": []})
        self._shown += len(choice["text"].encode())
        end = self._end(choice) if choice.get("finish_reason") else self._shown
        shown = []
        while self._waiting and self._waiting[0][0] < end:
            shown.append(self._waiting.popleft()[1])
        return tuple(shown)

    def _take(self, logprobs: dict[str, Any]) -> None:
        tops = logprobs.get("top_logprobs") or [{}] * len(logprobs["tokens"])
        for place, alternatives in enumerate(tops):
            token = _id(logprobs["tokens"][place])
            if not self._vocabulary.is_special(token):
                top = self._top(alternatives or {})
                entry = self._token(token, logprobs["token_logprobs"][place], top)
                self._waiting.append((len(self._spelt), entry))
                self._spelt += bytes(entry.bytes)

    def _top(self, alternatives: dict[str, float]) -> tuple[TokenLogprob, ...]:
        likeliest = sorted(alternatives.items(), key=lambda each: -each[1])[: self._n_top]
        return tuple(self._token(_id(token), logprob) for token, logprob in likeliest)

    def _token(
        self, token: int, logprob: float, top: tuple[TokenLogprob, ...] = ()
    ) -> TokenLogprob:
        """Spell a part of a letter as OpenAI spells it: \\xf0\\x9f."""
        spelt = self._vocabulary.bytes_of(token)
        return TokenLogprob(spelt.decode(errors="backslashreplace"), logprob, tuple(spelt), top)

    def _end(self, choice: dict[str, Any]) -> int:
        """Where the stop text begins, when one ended the answer: `stop_reason` says which."""
        stop = choice.get("stop_reason")
        at = self._spelt.find(stop.encode()) if isinstance(stop, str) else -1
        return at if at >= 0 else END


def _id(name: str) -> int:
    return int(name.removeprefix(PLACEHOLDER))


def _of_letters(spelt: str) -> bytes:
    """Byte-level BPE: every letter stands for a byte."""
    if all(letter in _BYTES for letter in spelt):
        return bytes(_BYTES[letter] for letter in spelt)
    return spelt.encode()


def _of_pieces(spelt: str) -> bytes:
    """SentencePiece: text with marked spaces, and bytes for what has no token."""
    if len(spelt) == len("<0x00>") and spelt.startswith("<0x") and spelt.endswith(">"):
        return bytes.fromhex(spelt[3:5])
    return spelt.replace(SPACE, " ").encode()


def _byte_of_each_letter() -> dict[str, int]:
    """GPT-2's: a byte that prints stands for itself, the others are letters from U+0100 on."""
    printing = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printing]
    return {chr(byte): byte for byte in printing} | {
        chr(256 + place): byte for place, byte in enumerate(others)
    }


_BYTES = _byte_of_each_letter()
