"""The one chat renderer: messages become token ids here for training, evaluation and serving alike.

Needs `tokenizers` and `jinja2` only, so that the model server can render without loading torch."""

import json
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

Message = dict[str, str]  # {"role": "system" | "user" | "assistant", "content": str}
# A chat of one message with this role is a text that is put to the model as it stands.
RAW = "raw"


@dataclass(frozen=True)
class _Piece:
    """A stretch of the rendered template: its own markup, or the content of one message."""

    text: str
    message: int | None = None


class ChatRenderer:
    """Renders chats with a model's own template.

    The template is rendered with placeholders where the contents go. Special tokens are looked for
    in the template's own text only, so a user who writes "<|im_end|>" sends seven characters and
    not the end of the turn.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: str,
        *,
        named_tokens: dict[str, str],
        extra_stop_ids: list[int],
    ) -> None:
        self._tokenizer = tokenizer
        without = {**json.loads(tokenizer.to_str()), "added_tokens": []}
        self._plain = Tokenizer.from_str(json.dumps(without))
        self._continuing = _without_leading_space(self._plain)
        self._special_ids = _special_ids(tokenizer)
        self.template = template
        self._compiled = _environment().from_string(template)
        self._named_tokens = named_tokens
        eos = named_tokens["eos_token"]
        self.eos_token_id = self._special_ids[eos]
        self.pad_token_id = self._special_ids[named_tokens.get("pad_token", eos)]
        end_of_turn = self._end_of_turn_id()
        self.stop_token_ids = sorted({self.eos_token_id, end_of_turn, *extra_stop_ids})

    def render_prompt(self, messages: list[Message]) -> list[int]:
        """Token ids of the chat, ending where the assistant's answer begins."""
        if len(messages) == 1 and messages[0]["role"] == RAW:
            # As the tokenizer itself reads a text: its special tokens count, and it may add one.
            return self._tokenizer.encode(messages[0]["content"]).ids or [self.eos_token_id]
        return self._encode(self._pieces(messages, add_generation_prompt=True))

    def render_training(self, messages: list[Message]) -> tuple[list[int], list[bool]]:
        """Token ids of the whole chat, and True for those that the model is to learn.

        Learnt are the final assistant answer and the token that ends its turn. The ids before the
        answer are exactly render_prompt(messages[:-1]): what is trained is what is served.
        """
        if not messages or messages[-1]["role"] != "assistant":
            raise ValueError("A training chat must end with a message of the assistant.")
        pieces = self._pieces(messages, add_generation_prompt=False)
        at = next(i for i, piece in enumerate(pieces) if piece.message == len(messages) - 1)
        prompt = self._encode(pieces[:at])
        answer = self._encode(pieces[at : at + 1], continues=self._ends_in_text(pieces[:at]))
        closing = self._encode(pieces[at + 1 :])
        learnt = len(answer) + self._length_of_turn_end(closing)
        ids = prompt + answer + closing
        return ids, [len(prompt) <= i < len(prompt) + learnt for i in range(len(ids))]

    def decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True)

    def count_tokens(self, text: str) -> int:
        return len(self._plain.encode(text, add_special_tokens=False).ids)

    def with_template(self, template: str) -> "ChatRenderer":
        """Return it with another template; one that cannot be read is a ValueError in rendering."""
        other = copy(self)
        other.template = template
        try:
            other._compiled = _environment().from_string(template)
        except TemplateError as error:
            other._compiled = _environment().from_string("{{ raise_exception(why) }}")
            other._compiled.globals["why"] = f"it cannot be read ({error})"
        return other

    def render_text(self, messages: list[Message], *, add_generation_prompt: bool = True) -> str:
        """Return the chat as text, special tokens spelt out."""
        return self._fill(messages, add_generation_prompt)

    def show(self, ids: list[int]) -> str:
        """Text of the tokens, special ones spelt out."""
        return self._tokenizer.decode(ids, skip_special_tokens=False)

    def vocabulary(self) -> dict[str, int]:
        return self._tokenizer.get_vocab(with_added_tokens=True)

    def spells_special(self, messages: list[Message]) -> bool:
        """Say whether a message holds the text of a special token."""
        return any(s in message["content"] for s in self._special_ids for message in messages)

    def _pieces(self, messages: list[Message], *, add_generation_prompt: bool) -> list[_Piece]:
        marks = [f"\ue000{i}\ue001" for i in range(len(messages))]
        placeheld = [{**m, "content": mark} for m, mark in zip(messages, marks, strict=True)]
        pieces = _split(self._fill(placeheld, add_generation_prompt), marks)
        wanted = self._fill(messages, add_generation_prompt)
        filled = _matched(pieces, [message["content"] for message in messages], wanted)
        if filled is None:
            raise ValueError("This model's chat template rewrites message contents: not supported.")
        return filled

    def _fill(self, messages: list[Message], add_generation_prompt: bool) -> str:
        try:
            return self._compiled.render(
                messages=messages,
                add_generation_prompt=add_generation_prompt,
                enable_thinking=False,  # the switch of Qwen 3: an answer begins at once
                **self._named_tokens,
            )
        except TemplateError as error:
            raise ValueError(f"The chat template refused these messages: {error}") from error

    def _encode(self, pieces: list[_Piece], *, continues: bool = False) -> list[int]:
        """Text between two special tokens is tokenised in one go, as transformers does it.

        `continues`: the pieces go on where other text ended, so that no space is put in front.
        """
        ids: list[int] = []
        pending = ""
        tokenizer = self._continuing if continues else self._plain
        for piece in pieces:
            if piece.message is not None:
                pending += piece.text
                continue
            for text, special in self._split_specials(piece.text):
                pending += text
                if special is not None:
                    ids += tokenizer.encode(pending, add_special_tokens=False).ids
                    ids.append(special)
                    pending, tokenizer = "", self._plain
        return ids + tokenizer.encode(pending, add_special_tokens=False).ids

    def _ends_in_text(self, pieces: list[_Piece]) -> bool:
        last = pieces[-1] if pieces else _Piece("")
        return bool(self._split_specials(last.text)[-1][0])

    def _split_specials(self, text: str) -> list[tuple[str, int | None]]:
        """[(text before, special id)…, (rest, None)], the longest special token first."""
        parts: list[tuple[str, int | None]] = []
        start = at = 0
        while at < len(text):
            here = [special for special in self._special_ids if text.startswith(special, at)]
            special = max(here, key=len, default="")
            if special:
                parts.append((text[start:at], self._special_ids[special]))
                start = at + len(special)
            at += len(special) or 1
        return [*parts, (text[start:], None)]

    def _end_of_turn_id(self) -> int:
        chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        closing = self._encode(self._pieces(chat, add_generation_prompt=False)[-1:])
        length = self._length_of_turn_end(closing)
        return closing[length - 1] if length else self.eos_token_id

    def _length_of_turn_end(self, closing: list[int]) -> int:
        specials = set(self._special_ids.values())
        return next((i + 1 for i, token in enumerate(closing) if token in specials), 0)


def load_renderer(folder: Path) -> ChatRenderer:
    """Return the renderer of the model in `folder`; raises ValueError naming the missing part."""
    tokenizer_file = folder / "tokenizer.json"
    if not tokenizer_file.is_file():
        raise ValueError(f"{folder} holds no tokenizer.json.")
    config = _read_json(folder / "tokenizer_config.json")
    given = {name: config[name] for name in _NAMED_TOKENS if config.get(name)}
    named = {name: t if isinstance(t, str) else str(t["content"]) for name, t in given.items()}
    if "eos_token" not in named:
        raise ValueError(f"{folder}/tokenizer_config.json names no eos_token.")
    eos = _read_json(folder / "generation_config.json").get("eos_token_id")
    return ChatRenderer(
        Tokenizer.from_file(str(tokenizer_file)),
        _read_template(folder, config),
        named_tokens=named,
        extra_stop_ids=eos if isinstance(eos, list) else [eos] if isinstance(eos, int) else [],
    )


_NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")


def _read_template(folder: Path, config: dict[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if not isinstance(template, str):
        raise ValueError(f"{folder} holds no chat template.")
    return template


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    return cast(dict[str, Any], json.loads(file.read_text(encoding="utf-8")))


def _special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    return {token.content: index for index, token in tokenizer.get_added_tokens_decoder().items()}


def _without_leading_space(tokenizer: Tokenizer) -> Tokenizer:
    """Tokenizers made from SentencePiece put a space before every text: wrong inside a text."""
    settings = json.loads(tokenizer.to_str())
    normalizer = settings["normalizer"] or {}
    steps = normalizer.get("normalizers", [])
    kept = [step for step in steps if step["type"] != "Prepend"]
    if kept == steps:
        return tokenizer
    settings["normalizer"] = {**normalizer, "normalizers": kept}
    return Tokenizer.from_str(json.dumps(settings))


def _split(rendered: str, marks: list[str]) -> list[_Piece]:
    """Cuts the rendered template at its marks; a message that the template leaves out has none."""
    pieces: list[_Piece] = []
    rest = rendered
    for index, mark in enumerate(marks):
        if mark in rest:
            before, rest = rest.split(mark, 1)
            pieces += [_Piece(before), _Piece(mark, index)]
    return [*pieces, _Piece(rest)]


def _matched(pieces: list[_Piece], contents: list[str], wanted: str) -> list[_Piece] | None:
    """Return the pieces with their contents, as the template wrote them into `wanted`; None when
    it did more than trim: the marks, which stand for the contents, have nothing to trim."""
    filled: list[_Piece] = []
    at = 0
    for piece, following in zip(pieces, [*pieces[1:], _Piece("")], strict=True):
        for text in _as_written(piece, contents):
            if wanted.startswith(text + following.text * (following.message is None), at):
                break
        else:
            return None
        filled.append(_Piece(text, piece.message))
        at += len(text)
    return filled if at == len(wanted) else None


def _as_written(piece: _Piece, contents: list[str]) -> tuple[str, ...]:
    """As it is, or trimmed in one of the ways that templates trim."""
    if piece.message is None:
        return (piece.text,)
    content, ways = contents[piece.message], (str.strip, str.lstrip, str.rstrip)
    return (content, *(trim(content, letters) for letters in (None, "\n") for trim in ways))


def _environment() -> ImmutableSandboxedEnvironment:
    """Return the settings of transformers: chat templates are written for these."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _raise_exception
    return environment


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)
