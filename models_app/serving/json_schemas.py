"""Which JSON Schemas an answer can be held to, and why another one is refused. No Django."""

import json
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from models_app.serving.errors import ServingError

ANY_OBJECT: dict[str, Any] = {"type": "object"}
MOST_CHARACTERS = 100_000
# llguidance holds llama.cpp's answers to a schema (and vLLM's, where it is chosen). Its own key
# could loosen the schema: nobody's sets it.
SETTINGS = "x-guidance"
# By its default white space between two tokens has no end; a pattern with an end is taken again and
# again, and helps nothing. So there are two ways to write an answer: without blanks, and with one
# after each comma and colon.
_WRITTEN = {"compact": (",", ":"), "spaced": (", ", ": ")}
# llama.cpp logs what it cannot enforce and answers freely: what is known beforehand is told here.
_UNENFORCEABLE = ("not", "if", "uniqueItems", "contains", "dependentRequired", "dependentSchemas")


def enforceable(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema to send; raises ServingError `invalid_json_schema` naming the reason."""
    schema = {name: value for name, value in schema.items() if name != SETTINGS}
    if not schema:
        return ANY_OBJECT
    try:
        if len(json.dumps(schema, allow_nan=False)) > MOST_CHARACTERS:
            raise refused(f"it is longer than {MOST_CHARACTERS} characters")
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "the top"
        raise refused(f"at {place}: {error.message}") from error
    except ValueError as error:
        raise refused("it holds a number that JSON does not have") from error
    except RecursionError as error:
        raise refused("it is nested too deeply") from error
    _refuse_unenforceable(schema)
    return schema


def grammar(schema: dict[str, Any], stop_token_ids: list[int]) -> str:
    """For llama.cpp: JSON that fits the schema, in its two ways to be written, and then the end.

    The end is named because llama.cpp picks one of the tokens that end an answer, which may not be
    the one that models are taught: a number, which could always go on, would then never end.
    """
    schema = enforceable(schema)
    end = f"<[{','.join(map(str, stop_token_ids))}]>"
    rules = [f"{name}: %json {_told(schema, *ends)}" for name, ends in _WRITTEN.items()]
    return "\n".join(["%llguidance {}", f"start: ({' | '.join(_WRITTEN)}) {end}", *rules])


def _told(schema: dict[str, Any], item_separator: str, key_separator: str) -> str:
    settings = {
        "whitespace_flexible": False,
        "item_separator": item_separator,
        "key_separator": key_separator,
    }
    return json.dumps({SETTINGS: settings, **schema})


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
