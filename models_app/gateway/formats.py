"""`response_format`: what an answer must look like, checked before a model is asked.

A schema that the decoder would take and then not keep to is refused: an answer that only seems
guaranteed is worse than none."""

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft202012Validator, validator_for
from rest_framework import serializers

MAX_SCHEMA_CHARS = 64_000
MAX_DEPTH = 32
MAX_REPEATS = 2000  # more make a grammar that llama.cpp refuses
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
REPEATS = ("minItems", "maxItems", "minLength", "maxLength")
NOT_KEPT = (
    "not", "if", "then", "else", "contains", "patternProperties", "propertyNames",
    "dependentSchemas", "dependentRequired", "unevaluatedItems", "unevaluatedProperties",
    "$dynamicRef",
)  # fmt: skip
# Where schemas lie within a schema: as a value, in a list, in a mapping.
ONE = ("items", "additionalProperties")
LISTS = ("anyOf", "oneOf", "allOf", "prefixItems", "items")
MAPPINGS = ("properties", "$defs", "definitions")


def wanted_schema(response_format: Any) -> dict[str, Any] | None:
    """The JSON schema of the answer; {} for any JSON object, None for a text."""
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return {}
    if kind != "json_schema":
        _refuse("It is one of text, json_object and json_schema.", "type")
    described = response_format.get("json_schema")
    if not isinstance(described, dict):
        _refuse("An object is needed, with a name and a schema.", "json_schema")
    if not isinstance(described.get("name"), str) or not NAME.fullmatch(described["name"]):
        _refuse("1 to 64 letters, digits, _ and - are needed.", "json_schema", "name")
    if described.get("strict") not in (None, True, False):
        _refuse("true or false is needed.", "json_schema", "strict")
    schema: Any = described.get("schema")
    if problem := problem_of(schema):
        _refuse(problem, "json_schema", "schema")
    return dict(schema)


def problem_of(schema: Any) -> str:
    """What is wrong with the schema, in a sentence; empty when nothing is."""
    if not isinstance(schema, dict):
        return "A JSON schema is needed."
    try:
        if len(json.dumps(schema, allow_nan=False)) > MAX_SCHEMA_CHARS:
            return f"The schema is longer than {MAX_SCHEMA_CHARS:,} characters."
        for at, part in _parts(schema, "schema", 0):
            if problem := _problem_here(part, schema):
                return f"{at}: {problem}"
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
    except (_TooDeep, RecursionError):
        return f"The schema is nested more than {MAX_DEPTH} deep."
    except (TypeError, ValueError) as error:
        return f"This is no valid JSON schema: {error}."
    except SchemaError as error:
        where = ".".join(str(step) for step in error.absolute_path)
        return f"This is no valid JSON schema{f' at {where}' if where else ''}: {error.message}"
    return ""


class _TooDeep(Exception):
    pass


def _parts(schema: Any, at: str, depth: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within the schema, itself first, with the path to it."""
    if depth > MAX_DEPTH:
        raise _TooDeep
    if not isinstance(schema, dict):
        return
    yield at, schema
    for key, inner in _inner(schema):
        yield from _parts(inner, f"{at}.{key}", depth + 1)


def _inner(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in ONE:
        yield key, schema.get(key)
    for key in LISTS:
        listed = schema.get(key)
        for number, inner in enumerate(listed if isinstance(listed, list) else []):
            yield f"{key}.{number}", inner
    for key in MAPPINGS:
        named = schema.get(key)
        for name, inner in named.items() if isinstance(named, dict) else []:
            yield f"{key}.{name}", inner


def _problem_here(part: dict[str, Any], root: dict[str, Any]) -> str:
    if unkept := [key for key in NOT_KEPT if key in part]:
        return f"“{unkept[0]}” cannot be held to while an answer is written."
    if any(isinstance(part.get(key), int) and part[key] > MAX_REPEATS for key in REPEATS):
        return f"minItems, maxItems, minLength and maxLength are at most {MAX_REPEATS:,}."
    if "$ref" in part and not _leads_somewhere(part["$ref"], root):
        return "“$ref” must point to a part of the schema itself, as in #/$defs/name."
    if not isinstance(part.get("$schema", ""), str):
        return "“$schema” must be a text."
    pattern = part.get("pattern")
    return _problem_of_pattern(pattern) if isinstance(pattern, str) else ""


def _problem_of_pattern(pattern: str) -> str:
    if not (pattern.startswith("^") and pattern.endswith("$")):
        return "“pattern” must begin with ^ and end with $."
    try:
        re.compile(pattern)
    except re.error as error:
        return f"“pattern” is no regular expression: {error}."
    return ""


def _leads_somewhere(reference: Any, root: dict[str, Any]) -> bool:
    if not isinstance(reference, str) or not reference.startswith("#"):
        return False
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            return False
    return isinstance(found, dict)


def _refuse(message: str, *path: str) -> NoReturn:
    """A problem at a path, as serializers nest them."""
    detail: Any = [serializers.ErrorDetail(message, code="invalid_value")]
    for step in reversed(path):
        detail = {step: detail}
    raise serializers.ValidationError(detail)
