"""The one gate for JSON Schemas (draft 2020-12): what is accepted here, an answer can be held to.

The gateway, the serving engine, the forms and the distillation pipeline all ask it. A schema that
the decoder would take and then not keep to is refused: an answer that only seems guaranteed is
worse than none. Pure: no Django, and nothing is fetched.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, SchemaRegistry

Schema = dict[str, Any]  # an open JSON object by its nature

MAX_CHARS = 64_000
MAX_DEPTH = 32
MAX_REPEATS = 2_000  # more make a grammar that llama.cpp refuses
MAX_AT_ONCE = 2_000  # schemas that one value is held to, all references followed
DIALECTS = ("https://json-schema.org/", "http://json-schema.org/")
REPEATS = ("minItems", "maxItems", "minLength", "maxLength")
# llguidance cannot hold an answer to them, at no value.
UNENFORCEABLE = (
    "not", "if", "then", "else", "contains", "minContains", "maxContains", "propertyNames",
    "uniqueItems", "dependencies", "dependentSchemas", "dependentRequired", "unevaluatedItems",
    "unevaluatedProperties", "$dynamicRef", "$recursiveRef",
)  # fmt: skip
FORMATS = (
    "date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid",
)  # fmt: skip
# Where schemas lie within a schema: as a value, in a list, in a mapping.
VALUES = ("items", "additionalProperties")
CHOICES = ("anyOf", "oneOf", "allOf")  # which look at the same value as the schema itself
LISTS = (*CHOICES, "prefixItems")
MAPPINGS = ("properties", "patternProperties", "$defs", "definitions")
SHOWN_CHARS = 200  # of the validator's own words

# A reference to another address is never fetched.
_NO_OTHERS: SchemaRegistry = Registry()
_Resolve = Callable[[str], Any]


class SchemaRefused(ValueError):
    """One sentence that says why, without its full stop."""


def parse_schema(text: str) -> Schema | None:
    """Return the accepted schema of a form's text; None for an empty one."""
    if not text.strip():
        return None
    try:
        return check_schema(json.loads(text))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise SchemaRefused(f"This is not JSON: {error.msg} at {place}") from error
    except RecursionError as error:
        raise _too_deep() from error


def check_schema(schema: Any) -> Schema:
    """Return the schema; raise SchemaRefused with the reason and its place."""
    if not isinstance(schema, dict):
        _refuse("it must be a JSON object, such as {“type”: “object”}")
    try:
        if len(json.dumps(schema, allow_nan=False)) > MAX_CHARS:
            _refuse(f"it is longer than {MAX_CHARS:,} characters")
        Draft202012Validator.check_schema(schema)
        _check_parts(schema)
    except SchemaError as error:
        raise SchemaRefused(_sentence(f"it is not valid at {_why(error)}")) from error
    except RecursionError as error:
        raise _too_deep() from error
    except SchemaRefused:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise SchemaRefused(_sentence("it holds a number that JSON does not have")) from error
    return schema


def misfit(answer: str, schema: Schema) -> str:
    """Return what keeps the answer from fitting an accepted schema; '' when it fits."""
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return "It is not JSON."
    try:
        validator = Draft202012Validator(schema, registry=_NO_OTHERS)
        error = next(iter(validator.iter_errors(value)), None)
    except (Unresolvable, RecursionError):
        return "The schema could not be followed."
    return f"At {_why(error)}." if error else ""


def _check_parts(schema: Schema) -> None:
    resolve = _resolver(schema)
    weights: dict[int, int] = {}
    parts = list(_parts(schema, "", 0))
    checked = {id(part) for _, part in parts}
    for place, part in parts:
        target = resolve(part["$ref"]) if "$ref" in part else True
        if isinstance(target, dict) and id(target) not in checked:
            _refuse(f"“{part['$ref']}” leads to a place where no schema stands")
        if reason := _problem_of(part, is_root=part is schema):
            _refuse(f"at {place or 'the top'}: {reason}")
        if _weight(part, resolve, weights) > MAX_AT_ONCE:
            _refuse(f"at {place or 'the top'}: it has too many branches")


def _parts(schema: Any, place: str, depth: int) -> Iterator[tuple[str, Schema]]:
    """Yield every schema within the schema, itself first, with the path to it."""
    if not isinstance(schema, dict):
        return
    if depth > MAX_DEPTH:
        raise _too_deep()
    yield place, schema
    for name, inner in _inner(schema):
        yield from _parts(inner, f"{place}.{name}".removeprefix("."), depth + 1)


def _inner(schema: Schema) -> Iterator[tuple[str, Any]]:
    yield from ((key, schema.get(key)) for key in VALUES)
    for key in LISTS:
        yield from ((f"{key}.{at}", inner) for at, inner in enumerate(schema.get(key, ())))
    for key in MAPPINGS:
        yield from ((f"{key}.{name}", inner) for name, inner in schema.get(key, {}).items())


def _problem_of(part: Schema, *, is_root: bool) -> str:
    """Return why this part cannot be enforced; its inner schemas are looked at on their own."""
    if unenforceable := [key for key in UNENFORCEABLE if key in part]:
        return f"“{unenforceable[0]}” cannot be enforced while an answer is written"
    if "$id" in part and not is_root:
        return "“$id” may stand at the top only"
    if any(part.get(key, 0) > MAX_REPEATS for key in REPEATS):
        return f"minItems, maxItems, minLength and maxLength are at most {MAX_REPEATS:,}"
    if part.get("format", FORMATS[0]) not in FORMATS:
        return f"the format “{part['format']}” is unknown; there are {', '.join(FORMATS)}"
    if not part.get("$schema", DIALECTS[0]).startswith(DIALECTS):
        return "“$schema” must name a draft of json-schema.org"
    return ""


def _resolver(schema: Schema) -> _Resolve:
    root = _NO_OTHERS.with_resource("", DRAFT202012.create_resource(schema)).resolver("")

    def resolve(reference: str) -> Any:
        try:
            target = root.lookup(reference).contents if reference.startswith("#") else None
        except (Unresolvable, LookupError, TypeError, ValueError):
            target = None
        if not isinstance(target, dict | bool):
            _refuse(f"“{reference}” leads to no part of it, and nothing is fetched")
        return target

    return resolve


def _weight(schema: Any, resolve: _Resolve, weights: dict[int, int]) -> int:
    """Count the schemas that one value is held to at once. A loop among them has no end."""
    if not isinstance(schema, dict):
        return 1
    if weights.get(id(schema)) == 0:
        _refuse("it refers to itself without an end")
    if id(schema) not in weights:
        weights[id(schema)] = 0
        branches = [inner for key in CHOICES for inner in schema.get(key, ())]
        if "$ref" in schema:
            branches.append(resolve(schema["$ref"]))
        weights[id(schema)] = 1 + sum(_weight(each, resolve, weights) for each in branches)
    return weights[id(schema)]


def _why(error: ValidationError | SchemaError) -> str:
    place, message = ".".join(map(str, error.absolute_path)), str(error.message)
    short = message if len(message) <= SHOWN_CHARS else f"{message[:SHOWN_CHARS]}…"
    return f"{place or 'the top'}: {short}"


def _sentence(reason: str) -> str:
    return f"This JSON schema cannot be used: {reason}"


def _too_deep() -> SchemaRefused:
    return SchemaRefused(_sentence(f"it is nested more than {MAX_DEPTH} deep"))


def _refuse(reason: str) -> NoReturn:
    raise SchemaRefused(_sentence(reason))
