"""The JSON Schema (draft 2020-12) of wanted answers, learned from examples and from the words.

What the examples do not show stays open: a key is required when every example has it, and other
keys are refused only when the requirement says so.
Try it: pytest distillation/tests/pipeline/understand/test_json_schema.py
"""

import re
from collections.abc import Mapping, Sequence
from itertools import islice
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


# --- What the words say ---------------------------------------------------------------------------

_NO_OTHER_KEYS = re.compile(
    r"\bno (?:other|extra|additional|more|further) (?:\w+ )?(?:key|field|propert|attribute)"
    r"|\b(?:only|exactly|just) (?:these|those|the|two|three|four|five|six|\d+)?\s*(?:\w+ )?"
    r"(?:keys|fields|properties|attributes)\b"
    r"|\b(?:keys|fields) only\b|\bnever (?:add|invent) (?:a |any )?(?:other |new )?(?:key|field)",
    re.IGNORECASE,
)
_KEYS_LIST = re.compile(
    r"\b(?:keys|fields|properties|attributes|slots|entit(?:y|ies)(?: types)?|types|columns)\b"
    r"(?:\s+(?:are|is|named|called|being|namely|of))?\s*[:(]?\s*"
    r"(?P<list>[^.:;\n]+(?:,|\band\b|\bor\b)[^.:;\n]+)",
    re.IGNORECASE,
)
_OBJECT_LIST = re.compile(
    r"\bjson(?: objects?)?(?::| with| of| containing| holding| having)\s+(?P<list>[^.:;\n]+)",
    re.IGNORECASE,
)
_FACTS_LIST = re.compile(
    r"\b(?:extract|find|read|pull(?: out)?|get|capture|return|identify|collect|recogni[sz]e|"
    r"mention\w*(?: in \w+)?|give|list)\b(?:[^:.;\n]{0,120}?(?::|\bthe\b|\bits\b|\btheir\b))?\s*"
    r"(?P<list>[^.:;\n]+(?:,|\band\b)[^.:;\n]+)",
    re.IGNORECASE,
)
_ONE_KEY = re.compile(r"\b(?:under|with) (?:the|a|one|a single) key [`\"“']?(\w+)", re.IGNORECASE)
_TEMPLATE_KEY = re.compile(r"[\"“']([A-Za-z][\w -]{0,40})[\"”']\s*:")
_QUOTED = re.compile(r"[`\"“']([A-Za-z][\w-]{0,40})[`\"”']")
_BETWEEN = re.compile(r"\s*,\s*(?:and\s+|or\s+)?|\s+(?:and|or)\s+|\s*/\s*", re.IGNORECASE)
# A key's words end where the sentence goes on.
_GOES_ON = re.compile(
    r"\s+(?:from|of each|in|as|with|that|which|when|if|into|for|to|on|are|is|out|and nothing)\b.*",
    re.IGNORECASE,
)
_NEXT_ORDER = re.compile(
    r",?\s+(?:and|then|and then)\s+"
    r"(?:return|give|answer|output|put|write|list|do|leave|nothing)\b.*",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"^(?:the|a|an|its|their|any|all|every|each|both|keys?|fields?)\s+", re.I)
_SPELLED = re.compile(r"[A-Za-z][a-z0-9]*(?:[_-][A-Za-z0-9]+)+|[a-z]+(?:[A-Z][a-z0-9]+)+")
MAX_KEY_WORDS = 3
MAX_KEYS = 40
MAX_LISTS = 20


def refuses_other_keys(text: str) -> bool:
    return _NO_OTHER_KEYS.search(text) is not None


def keys_in_words(text: str) -> tuple[tuple[str, ...], bool]:
    """Return the keys that a requirement names, in a template, quotes, or in a list of words; and
    whether they are spelled as they must be: "the keys a and b" are, "the date and the time" not.
    """
    if "{" in text and (in_template := _TEMPLATE_KEY.findall(text)):
        return tuple(dict.fromkeys(in_template)), True
    if one := _ONE_KEY.search(text):
        return (one[1],), True
    for pattern in (_KEYS_LIST, _OBJECT_LIST, _FACTS_LIST):
        for match in islice(pattern.finditer(re.sub(r"\([^)]*\)", "", text)), MAX_LISTS):
            if len(keys := _keys_of_list(match["list"])) >= 2:
                return keys, pattern is not _FACTS_LIST
    return (), False


def _keys_of_list(text: str) -> tuple[str, ...]:
    quoted = _QUOTED.findall(text)
    if len(quoted) >= 2:
        return tuple(dict.fromkeys(quoted))
    parts = [part.strip() for part in _BETWEEN.split(_NEXT_ORDER.sub("", text))]
    names = [_ARTICLE.sub("", _GOES_ON.sub("", part)) for part in parts]
    names = [name.strip(" \"'`") for name in names]
    short = [name for name in names if name and len(name.split()) <= MAX_KEY_WORDS]
    return tuple(dict.fromkeys(short))[:MAX_KEYS] if len(short) == len(names) else ()


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


def learn_schema(answers: Sequence[Mapping[str, Any]], words: str) -> Schema | None:
    """Return the schema of the examples' answers, with the keys that the words name beside them."""
    named, are_spelled = keys_in_words(words)
    schema: Schema = schema_of_values(list(answers)) if answers else {"type": "object"}
    shown = dict(schema.get("properties", {}))
    missing = _not_shown(named, shown)
    if not shown and not missing:
        return None
    properties, patterns = _by_spelling(missing, are_spelled, _common(list(shown.values())))
    schema["properties"] = shown | properties
    if patterns:
        schema["patternProperties"] = patterns
    if refuses_other_keys(words):
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


def _by_spelling(keys: Sequence[str], are_spelled: bool, shape: Schema) -> tuple[Schema, Schema]:
    """As properties, and as patterns for those that are known by their words alone.

    No two patterns match one key ("b" and "bs"): no decoder could be held to both.
    """
    spelled = {
        key: shape for key in keys if _SPELLED.fullmatch(key) or (are_spelled and " " not in key)
    }
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
