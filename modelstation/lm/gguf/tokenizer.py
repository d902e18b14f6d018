"""A tokenizer.json as llama.cpp wants it: token list, merges or scores, and the name of how text is
cut before merging. A wrong name tokenises in silence, so an unknown one is refused."""

import json
from pathlib import Path
from typing import NotRequired, Required, TypedDict, cast

import gguf
from gguf.constants import TokenType

from modelstation.lm.chat import load_renderer

# The cut of Qwen 2, 2.5 and 3, as their tokenizer.json spells it.
QWEN2_CUT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CUTS = {QWEN2_CUT: "qwen2"}
SPACE = "▁"  # how SentencePiece writes one
UNKNOWN_CUT = (
    "This tokenizer cannot be exported to GGUF: only byte-level BPE as of SmolLM2, GPT-2 and "
    "Qwen 2, and SentencePiece BPE as of Llama 2 can."
)


class Step(TypedDict, total=False):
    """One step of cutting or normalising text."""

    type: Required[str]
    add_prefix_space: bool
    use_regex: bool
    individual_digits: bool
    behavior: str
    invert: bool
    pattern: dict[str, str]
    pretokenizers: list["Step"]
    normalizers: list["Step"]


class Bpe(TypedDict):
    type: str
    vocab: dict[str, int]
    merges: list[str] | list[list[str]]
    byte_fallback: NotRequired[bool]
    unk_token: NotRequired[str | None]


class AddedToken(TypedDict):
    id: int
    content: str
    special: bool


class TokenizerFile(TypedDict):
    """tokenizer.json, as far as GGUF has room for it."""

    model: Bpe
    added_tokens: list[AddedToken]
    normalizer: NotRequired[Step | None]
    pre_tokenizer: NotRequired[Step | None]


def read_tokenizer(folder: Path) -> TokenizerFile:
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    return cast(TokenizerFile, json.loads(text))


def add_tokenizer(writer: gguf.GGUFWriter, folder: Path, vocab_size: int) -> None:
    tokenizer = read_tokenizer(folder)
    kind = check_tokenizer(tokenizer)
    tokens, types = _tokens(tokenizer, vocab_size)
    renderer = load_renderer(folder)
    if kind == "llama":
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_scores(_scores(tokenizer, tokens))
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(kind)
        writer.add_token_merges([" ".join(pair) for pair in _merges(tokenizer)])
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_eos_token_id(renderer.eos_token_id)
    writer.add_pad_token_id(renderer.pad_token_id)
    # Our renderer and the template write the first token themselves, where there is one.
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(kind == "llama")
    writer.add_chat_template(renderer.template)


def check_tokenizer(tokenizer: TokenizerFile) -> str:
    """llama.cpp's name for it: "llama" for SentencePiece, else that of the cut before merging."""
    if tokenizer["model"]["type"] == "BPE":
        name = _sentencepiece(tokenizer) or _byte_level(tokenizer)
        if name:
            return name
    raise ValueError(UNKNOWN_CUT)


def _sentencepiece(tokenizer: TokenizerFile) -> str:
    """Spaces are marked, one is put in front, bytes stand in for unknown letters: Llama 2's."""
    normalizer = tokenizer.get("normalizer")
    marks = [
        {"type": "Prepend", "prepend": SPACE},
        {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
    ]
    is_marked = normalizer is not None and normalizer.get("normalizers") == marks
    is_llama = is_marked and not tokenizer.get("pre_tokenizer")
    return "llama" if is_llama and tokenizer["model"].get("byte_fallback") else ""


def _byte_level(tokenizer: TokenizerFile) -> str:
    pre = tokenizer.get("pre_tokenizer")
    if pre is None:
        return ""
    *cuts, last = pre.get("pretokenizers", [pre])
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return ""
    if not last.get("use_regex", True):
        return _name_of_split(cuts)
    if not cuts:
        return "gpt-2"
    digits = len(cuts) == 1 and cuts[0].get("type") == "Digits"
    return "smollm" if digits and cuts[0].get("individual_digits") else ""


def _name_of_split(cuts: list[Step]) -> str:
    if len(cuts) != 1 or cuts[0].get("type") != "Split":
        return ""
    (cut,) = cuts
    # Its matches cover all text, so keeping only them is the same as cutting around them.
    covers = (cut.get("behavior"), cut.get("invert")) in (("Isolated", False), ("Removed", True))
    return CUTS.get(cut["pattern"].get("Regex", ""), "") if covers else ""


def _tokens(tokenizer: TokenizerFile, vocab_size: int) -> tuple[list[str], list[TokenType]]:
    """One token per row of the embedding; rows that the tokenizer does not use get a filler."""
    tokens = [f"[PAD{index}]" for index in range(vocab_size)]
    types = [TokenType.UNUSED] * vocab_size
    by_bytes = tokenizer["model"].get("byte_fallback")
    for token, index in tokenizer["model"]["vocab"].items():
        is_byte = by_bytes and len(token) == 6 and token.startswith("<0x")
        tokens[index], types[index] = token, TokenType.BYTE if is_byte else TokenType.NORMAL
    for added in tokenizer["added_tokens"]:
        kind = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], kind
    unknown = tokenizer["model"].get("unk_token") if by_bytes else None
    if unknown in tokens:
        types[tokens.index(unknown)] = TokenType.UNKNOWN
    return tokens, types


def _scores(tokenizer: TokenizerFile, tokens: list[str]) -> list[float]:
    """SentencePiece joins the pair with the best score; tokenizer.json lists pairs best first."""
    rank: dict[str, int] = {}
    for place, (left, right) in enumerate(_merges(tokenizer)):
        rank.setdefault(left + right, place)
    last = float(len(rank) + 1)
    return [-float(rank[token]) if token in rank else -last for token in tokens]


def _merges(tokenizer: TokenizerFile) -> list[list[str]]:
    return [
        merge.split(" ") if isinstance(merge, str) else merge
        for merge in tokenizer["model"]["merges"]
    ]
