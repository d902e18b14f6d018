"""Which JSON Schemas an answer can be held to, and why another one is refused. No Django."""

import json
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from models_app.serving.errors import ServingError

ANY_OBJECT: dict[str, Any] = {"type": "object"}
MOST_CHARACTERS = 100_000
# llama.cpp logs what it cannot enforce and answers freely: what is known beforehand is told here.
_UNENFORCEABLE = ("not", "if", "uniqueItems", "contains", "dependentRequired", "dependentSchemas")


def enforceable(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema to send; raises ServingError `invalid_json_schema` naming the reason."""
    if not schema:
        return ANY_OBJECT
    if len(json.dumps(schema)) > MOST_CHARACTERS:
        raise refused(f"it is longer than {MOST_CHARACTERS} characters")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "the top"
        raise refused(f"at {place}: {error.message}") from error
    except RecursionError as error:
        raise refused("it is nested too deeply") from error
    _refuse_unenforceable(schema)
    return schema


def refused(reason: str) -> ServingError:
    return ServingError(f"This JSON schema cannot be used: {reason}.", code="invalid_json_schema")


def _refuse_unenforceable(schema: Any) -> None:
    if not isinstance(schema, dict):
        return
    reference = schema.get("$ref")
    if isinstance(reference, str) and not reference.startswith("#"):
        raise refused(f"“{reference}” lies outside of it, and nothing is fetched")
    for keyword in _UNENFORCEABLE:
        if schema.get(keyword) not in (None, False):
            raise refused(f"“{keyword}” cannot be enforced while an answer is written")
    for inner in _inner_schemas(schema):
        _refuse_unenforceable(inner)


def _inner_schemas(schema: dict[str, Any]) -> list[Any]:
    """Those below this one; names of properties are not keywords."""
    maps = ("properties", "patternProperties", "$defs", "definitions")
    lists = ("anyOf", "oneOf", "allOf", "prefixItems")
    inner = [each for name in maps for each in dict(schema.get(name) or {}).values()]
    inner += [each for name in lists for each in schema.get(name) or ()]
    return inner + [schema.get(name) for name in ("items", "additionalProperties")]
