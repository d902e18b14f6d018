"""The grammar that holds an answer of llama.cpp to a JSON Schema. No Django."""

import json

from models_app.serving.errors import ServingError
from modelstation.lm.json_schema import Schema, SchemaRefused, check_schema

ANY_OBJECT: Schema = {"type": "object"}
# llguidance holds llama.cpp's answers to a schema (and vLLM's, where it is chosen). Its own key
# could loosen the schema: nobody's sets it.
SETTINGS = "x-guidance"
# By its default white space between two tokens has no end; a pattern with an end is taken again and
# again, and helps nothing. So there are two ways to write an answer: without blanks, and with one
# after each comma and colon.
_STYLES = {"compact": (",", ":"), "spaced": (", ", ": ")}


def enforceable(schema: Schema) -> Schema:
    """Return the schema to send; raise ServingError `invalid_json_schema` naming the reason."""
    schema = {name: value for name, value in schema.items() if name != SETTINGS}
    try:
        return check_schema(schema) or ANY_OBJECT
    except SchemaRefused as error:
        raise ServingError(f"{error}.", code="invalid_json_schema") from error


def grammar(schema: Schema, stop_token_ids: list[int]) -> str:
    """For llama.cpp: JSON that fits the schema, in its two ways to be written, and then the end.

    The end is named because llama.cpp picks one of the tokens that end an answer, which may not be
    the one that models are taught: a number, which could always go on, would then never end.
    """
    schema = enforceable(schema)
    end = f"<[{','.join(map(str, stop_token_ids))}]>"
    rules = []
    for name, (item_separator, key_separator) in _STYLES.items():
        separators = {"item_separator": item_separator, "key_separator": key_separator}
        styled = {SETTINGS: {"whitespace_flexible": False, **separators}, **schema}
        rules.append(f"{name}: %json {json.dumps(styled)}")
    return "\n".join(["%llguidance {}", f"start: ({' | '.join(_STYLES)}) {end}", *rules])


def refused(reason: str) -> ServingError:
    return ServingError(f"This JSON schema cannot be used: {reason}.", code="invalid_json_schema")
