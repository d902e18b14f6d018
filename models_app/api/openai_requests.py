"""What a chat completion may ask for, in OpenAI's terms.

What we do not support and would change the answer is refused by name; what is harmless is taken
and ignored.
"""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from models_app.serving.client import GenerationConfig

ROLES = ("system", "developer", "user", "assistant")
MAX_TOKENS = 32_768
MAX_STOPS = 4
MAX_SEED = 2**63 - 1
RANDOM_SEED = 2**32 - 1  # which llama.cpp takes for "none"
# Keys that change nothing about the text of an answer here.
HARMLESS = {
    "metadata", "modalities", "parallel_tool_calls", "prediction", "prompt_cache_key",
    "prompt_cache_retention", "reasoning_effort", "safety_identifier", "service_tier", "store",
    "user", "verbosity",
}  # fmt: skip
# Keys that would change it, with the values at which they do not.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "n": (1,),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
}


@extend_schema_field(
    {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}
)
class ContentField(serializers.Field[str, Any, str, Any]):
    """A text, or a list of text parts, which are joined."""

    def to_internal_value(self, data: Any) -> str:
        parts = data if isinstance(data, list) else [{"type": "text", "text": data}]
        if not all(_is_text_part(part) for part in parts):
            raise serializers.ValidationError(
                "A text is needed, or a list of parts of the type “text”."
            )
        return "".join(part["text"] for part in parts)

    def to_representation(self, value: str) -> str:
        return value


class ChatMessageSerializer(serializers.Serializer[dict[str, str]]):
    role = serializers.ChoiceField(choices=ROLES)
    content = ContentField()


class StreamOptionsSerializer(serializers.Serializer[dict[str, bool]]):
    include_usage = serializers.BooleanField(default=False)


class StopField(serializers.ListField):
    child = serializers.CharField(trim_whitespace=False)

    def to_internal_value(self, data: Any) -> list[str]:
        return super().to_internal_value([data] if isinstance(data, str) else data)


class ChatRequestSerializer(serializers.Serializer[dict[str, Any]]):
    model = serializers.CharField()
    messages = ChatMessageSerializer(many=True, allow_empty=False)
    temperature = serializers.FloatField(min_value=0, max_value=2, required=False)
    top_p = serializers.FloatField(min_value=0.001, max_value=1, required=False)
    max_tokens = serializers.IntegerField(min_value=1, max_value=MAX_TOKENS, required=False)
    max_completion_tokens = serializers.IntegerField(
        min_value=1, max_value=MAX_TOKENS, required=False
    )
    stop = StopField(max_length=MAX_STOPS, required=False)
    seed = serializers.IntegerField(min_value=-MAX_SEED - 1, max_value=MAX_SEED, required=False)
    stream = serializers.BooleanField(default=False)
    stream_options = StreamOptionsSerializer(required=False)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            message = "The body must be a JSON object."
            raise serializers.ValidationError({"non_field_errors": [message]})
        given = {
            key: value for key, value in data.items() if value is not None and key not in HARMLESS
        }
        for key in given.keys() - self.fields.keys():
            _refuse_unless_neutral(key, given[key])
        return super().to_internal_value(given)


def generation_config(asked: dict[str, Any]) -> GenerationConfig:
    """What was not asked for keeps the engine's default."""
    given = ("temperature", "top_p", "seed")
    wanted: dict[str, Any] = {name: asked[name] for name in given if name in asked}
    if limit := asked.get("max_completion_tokens") or asked.get("max_tokens"):
        wanted["max_tokens"] = limit
    if "seed" in wanted:
        wanted["seed"] %= RANDOM_SEED  # OpenAI's are of 64 bits, llama.cpp's of 32
    return GenerationConfig(stop=tuple(asked.get("stop", ())), **wanted)


def conversation(asked: dict[str, Any], system_prompt: str) -> list[dict[str, str]]:
    """The messages, led by the model's own system prompt unless the request brings one."""
    messages = [
        {
            "role": "system" if message["role"] == "developer" else message["role"],
            "content": message["content"],
        }
        for message in asked["messages"]
    ]
    if system_prompt and all(message["role"] != "system" for message in messages):
        messages.insert(0, {"role": "system", "content": system_prompt})
    return messages


def _refuse_unless_neutral(key: str, value: Any) -> None:
    if key not in NEUTRAL:
        message = f"Unrecognized request argument supplied: {key}"
        raise serializers.ValidationError({key: message}, code="unknown_parameter")
    if value not in NEUTRAL[key]:
        message = f"This server does not support this value of {key}."
        raise serializers.ValidationError({key: message}, code="unsupported_value")


def _is_text_part(part: Any) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )
