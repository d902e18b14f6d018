"""`response_format`: what an answer must look like, checked before a model answers."""

import re
from typing import Any, NoReturn

from rest_framework import serializers

from modelstation.lm.json_schema import Schema, SchemaRefused, check_schema

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def wanted_schema(response_format: Any) -> Schema | None:
    """Return the JSON schema of the answer; {} for any JSON object, None for a text."""
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
    try:
        return check_schema(described.get("schema"))
    except SchemaRefused as error:
        _refuse(f"{error}.", "json_schema", "schema")


def _refuse(message: str, *path: str) -> NoReturn:
    """Raise a problem at a path, as serializers nest them."""
    detail: Any = [serializers.ErrorDetail(message, code="invalid_value")]
    for step in reversed(path):
        detail = {step: detail}
    raise serializers.ValidationError(detail)
