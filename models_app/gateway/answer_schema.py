"""A JSON Schema that an answer is asked to fit, and whether it does."""

import json
from typing import Any

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.exceptions import ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, SchemaRegistry

from modelstation.core.errors import UserFacingError

MAX_SCHEMA_CHARS = 20_000
TOLD_CHARS = 200

Schema = dict[str, Any]


# A reference to another address is never fetched.
_ALONE: SchemaRegistry = Registry()


def read_schema(text: str) -> Schema | None:
    """None for an empty text. Raises UserFacingError with the place of what is wrong."""
    if not text.strip():
        return None
    if len(text) > MAX_SCHEMA_CHARS:
        raise _refused(f"The JSON Schema has more than {MAX_SCHEMA_CHARS:,} characters.")
    try:
        schema = json.loads(text)
        if not isinstance(schema, dict):
            raise _refused("A JSON Schema is a JSON object, such as {“type”: “object”}.")
        Draft202012Validator.check_schema(schema)
        _follow_references(schema)  # those that lead nowhere would show only when they are met
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise _refused(f"This is not JSON: {error.msg} at {place}.") from error
    except SchemaError as error:
        raise _refused(f"No valid JSON Schema at {_place(error)}: {_told(error)}.") from error
    except (RecursionError, ValueError) as error:
        raise _refused("The JSON Schema is nested too deeply, or refers to itself.") from error
    return schema


def verdict(answer: str, schema: Schema) -> str:
    """What keeps the answer from fitting; '' when it fits."""
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return "It is not JSON."
    try:
        validator = Draft202012Validator(schema, registry=_ALONE)
        error = next(iter(validator.iter_errors(value)), None)
    except (Unresolvable, RecursionError):
        return "The schema could not be followed."
    return f"At {_place(error)}: {_told(error)}." if error else ""


def _follow_references(schema: Schema) -> None:
    resolver = _ALONE.with_resource("", DRAFT202012.create_resource(schema)).resolver("")
    for part in _parts(schema):
        if not isinstance(reference := part.get("$ref"), str):
            continue
        try:
            resolver.lookup(reference)
        except Unresolvable as error:
            message = f"The JSON Schema refers to “{reference}”, which is not in it."
            raise _refused(message) from error


def _parts(value: Any) -> list[dict[str, Any]]:
    children = list(value.values()) if isinstance(value, dict) else value
    own = [value] if isinstance(value, dict) else []
    if isinstance(children, list):
        return own + [part for child in children for part in _parts(child)]
    return own


def _place(error: ValidationError | SchemaError) -> str:
    return str(error.json_path).removeprefix("$.").replace("$", "the top")


def _told(error: ValidationError | SchemaError) -> str:
    message = str(error.message)
    return message if len(message) <= TOLD_CHARS else f"{message[:TOLD_CHARS]}…"


def _refused(message: str) -> UserFacingError:
    return UserFacingError(message, code="invalid_schema", param="schema")
