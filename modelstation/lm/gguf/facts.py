"""The few facts of a GGUF file's head that serving needs, read without its tensors.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_NUMBERS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
_MOST_BYTES = 2**20  # of one string; more means that this is no GGUF
_HALF_FLOAT_BYTES = 2


@dataclass(frozen=True)
class Facts:
    context_length: int = 0  # tokens that the model was trained for; 0: not told
    cache_bytes_per_token: int = 0


def read(gguf: Path) -> Facts:
    """Of a damaged file nothing is known; loading it will say what is wrong."""
    try:
        with gguf.open("rb") as file:
            return _facts(_head(file))
    except (ValueError, struct.error, OSError):
        return Facts()


def _facts(head: dict[str, Any]) -> Facts:
    kind = head.get("general.architecture", "")

    def number(name: str, default: int = 0) -> int:
        value = head.get(f"{kind}.{name}", default)
        return max(value, default=0) if isinstance(value, list) else int(value)

    heads = max(1, number("attention.head_count", 1))
    wide = number("embedding_length") // heads
    both = number("attention.key_length", wide) + number("attention.value_length", wide)
    per_layer = number("attention.head_count_kv", heads) * both * _HALF_FLOAT_BYTES
    return Facts(number("context_length"), number("block_count") * per_layer)


def _head(file: BinaryIO) -> dict[str, Any]:
    """Up to the tokenizer, whose lists are long and come last."""
    if file.read(4) != b"GGUF":
        raise ValueError("not a GGUF file")
    _, _, pairs = struct.unpack("<IQQ", file.read(20))
    found: dict[str, Any] = {}
    for _ in range(min(pairs, 1000)):
        key = _string(file)
        if key.startswith("tokenizer."):
            break
        found[key] = _value(file, _number(file, "I"))
    return found


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind == _ARRAY:
        of, count = _number(file, "I"), _number(file, "Q")
        if count > _MOST_BYTES:
            raise ValueError("a list is too long")
        return [_value(file, of) for _ in range(count)]
    if kind not in _NUMBERS:
        raise ValueError("unknown kind of value")
    return _number(file, _NUMBERS[kind])


def _number(file: BinaryIO, form: str) -> Any:
    size = struct.calcsize(f"<{form}")
    return struct.unpack(f"<{form}", file.read(size))[0]


def _string(file: BinaryIO) -> str:
    length = _number(file, "Q")
    if length > _MOST_BYTES:
        raise ValueError("a string is too long")
    return file.read(length).decode()
