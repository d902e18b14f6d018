"""The JSON Schema (draft 2020-12) of wanted answers, learned from examples and from the words.

What the examples do not show stays open: a key is required when every example has it, and other
keys are refused only when the requirement says so.
Try it: pytest distillation/tests/pipeline/understand/test_json_schema.py
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from modelstation.lm.json_schema import Schema, SchemaRefused, check_schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NESTED_DEPTH = 2  # objects inside the object are described, what lies deeper is only an object

_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


def schema_of_values(values: Sequence[Any], depth: int = 0) -> Schema:
    """Return the narrowest schema of this shape that all values satisfy."""
    types = sorted({_TYPES[type(value)] for value in values})
    if "integer" in types and "number" in types:
        types.remove("integer")
    schema: Schema = {"type": types[0] if len(types) == 1 else types} if types else {}
    items = [item for value in values if isinstance(value, list) for item in value]
    if items:
        schema["items"] = schema_of_values(items, depth)
    objects = [value for value in values if isinstance(value, dict)]
    if objects and depth < NESTED_DEPTH:
        schema |= _members(objects, depth)
    return schema


def _members(objects: Sequence[Mapping[str, Any]], depth: int) -> Schema:
    keys = dict.fromkeys(key for value in objects for key in value)
    properties = {
        key: schema_of_values([value[key] for value in objects if key in value], depth + 1)
        for key in keys
    }
    required = [key for key in keys if all(key in value for value in objects)]
    return {"properties": properties} | ({"required": required} if required else {})


def keys_of(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys that a schema names, those known by their words alone in plain spelling."""
    return (*schema.get("properties", {}), *map(_plain, schema.get("patternProperties", {})))


# --- Keys that only the words name ----------------------------------------------------------------

_NO_OTHER_KEYS = re.compile(
    r"\bno (?:other|extra|additional|more|further) (?:\w+ )?(?:key|field|propert|attribute)"
    r"|\b(?:only|exactly|just) (?:these|those|the|two|three|four|five|six|\d+)?\s*(?:\w+ )?"
    r"(?:keys|fields|properties|attributes)\b"
    r"|\b(?:keys|fields) only\b|\bnever (?:add|invent) (?:a |any )?(?:other |new )?(?:key|field)",
    re.IGNORECASE,
)


def refuses_other_keys(text: str) -> bool:
    return _NO_OTHER_KEYS.search(text) is not None


def _words_of(key: str) -> tuple[str, ...]:
    """'creative-work', 'creative works' and 'creativeWork' are one key in different spellings."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", key)
    return tuple(_singular(word) for word in re.split(r"[\s_-]+", apart.lower()) if word)


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def _pattern(words: Sequence[str]) -> str:
    """Any usual spelling of a key that is known by its words alone."""
    *first, last = map(re.escape, words)
    ending = f"{last[:-1]}(?:y|ies)" if last.endswith("y") else f"{last}s?"
    return f"^{'[-_ ]?'.join([*first, ending])}$"


def _plain(pattern: str) -> str:
    return pattern.strip("^$").replace("[-_ ]?", " ").replace("(?:y|ies)", "y").removesuffix("s?")


def learn_schema(
    answers: Sequence[Mapping[str, Any]], named: Sequence[str] = (), *, no_others: bool = False
) -> Schema | None:
    """Return the schema of the examples' answers, with the keys that the words name beside them."""
    schema: Schema = schema_of_values(list(answers)) if answers else {"type": "object"}
    shown = dict(schema.get("properties", {}))
    missing = _not_shown(named, shown)
    if not shown and not missing:
        return None
    properties, patterns = _by_spelling(missing, _common(list(shown.values())))
    schema["properties"] = shown | properties
    if patterns:
        schema["patternProperties"] = patterns
    if no_others:
        schema["additionalProperties"] = False
    try:
        return check_schema({"$schema": DIALECT} | schema)
    except SchemaRefused:
        return None  # examples of more than a schema may hold: none is better than half of one


def _not_shown(named: Sequence[str], shown: Mapping[str, Any]) -> list[str]:
    """Keys that no example has. A list that knows few of the examples' is of something else."""
    known = {_words_of(key) for key in shown}
    listed = {_words_of(key) for key in named}
    if known and len(known & listed) < len(known) / 2:
        return []
    return [key for key in named if _words_of(key) not in known]


def _by_spelling(keys: Sequence[str], shape: Schema) -> tuple[Schema, Schema]:
    """As properties, and as patterns for those of several words, which may be joined in any way.

    No two patterns match one key ("b" and "bs"): no decoder could be held to both.
    """
    spelled = {key: shape for key in keys if " " not in key}
    patterns: Schema = {}
    taken: set[str] = set()
    for words in (_words_of(key) for key in keys if key not in spelled):
        joined = "".join(words)
        spellings = {joined, f"{joined[:-1]}ies" if joined.endswith("y") else f"{joined}s"}
        if taken.isdisjoint(spellings):
            patterns[_pattern(words)] = shape
            taken |= spellings
    return spelled, patterns


def _common(shapes: Sequence[Schema]) -> Schema:
    return dict(shapes[0]) if shapes and all(shape == shapes[0] for shape in shapes) else {}
