"""What a request for answers may ask for, in OpenAI's terms.

What we do not support and would change the answer is refused by name; what is harmless is taken
and ignored. Tools belong to the harmless as long as the model is free to answer without them, which
it then does: no template here knows how to call one.
"""

from dataclasses import replace
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from models_app.gateway.formats import wanted_schema
from models_app.gateway.shapes import AnswerRequest, ChatRequest, TextRequest
from models_app.serving.client import GenerationConfig
from modelstation.core.web.api import Choice
from modelstation.lm.chat import RAW, Message
from modelstation.lm.json_schema import Schema

ROLES = ("system", "developer", "user", "assistant")
MAX_TOKENS = 32_768
MAX_STOPS = 4
MAX_CHOICES = 8
MAX_PROMPTS = 16  # of a text completion
MAX_METADATA, MAX_METADATA_KEY, MAX_METADATA_VALUE = 16, 64, 512
MAX_TOP_LOGPROBS = 20
MAX_TEXT_LOGPROBS = 5
MAX_BIASES = 1024
TEXT_TOKENS = 16  # what a text completion is long when the request has no limit
MAX_SEED = 2**63 - 1
LEAST_TOP_P = 0.001  # which leaves the likeliest token alone, as zero does for OpenAI
RANDOM_SEED = 2**32 - 1  # which llama.cpp takes for "none"
NO_TOOLS = (
    "This model cannot call tools: only “none” and “auto” are taken, and it answers in words."
)
# Keys that change nothing about the text of an answer here.
HARMLESS = {
    "metadata", "modalities", "parallel_tool_calls", "prediction", "prompt_cache_key",
    "prompt_cache_retention", "reasoning_effort", "safety_identifier", "service_tier", "store",
    "user", "verbosity",
}  # fmt: skip
# Keys that would change it, with the values at which they do not.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "functions": ([],),
    "function_call": ("none", "auto"),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
}


@extend_schema_field(
    {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}
)
class ContentField(serializers.Field[str, Any, str, Any]):
    """A text, or a list of text parts, which are joined."""

    def to_internal_value(self, data: Any) -> str:
        parts = data if isinstance(data, list) else [{"type": "text", "text": data}]
        if not all(_is_text_part(part) for part in parts):
            message = "A text is needed, or a list of parts of the type “text”."
            raise serializers.ValidationError(message)
        return "".join(part["text"] for part in parts)


class ChatMessageSerializer(serializers.Serializer[dict[str, str]]):
    """Other keys, such as `name` and `weight`, are taken and ignored."""

    role = Choice(ROLES)
    content = ContentField()


class StreamOptionsSerializer(serializers.Serializer[dict[str, bool]]):
    include_usage = serializers.BooleanField(default=False)


class StopField(serializers.ListField):
    child = serializers.CharField(trim_whitespace=False)

    def to_internal_value(self, data: Any) -> list[str]:
        return super().to_internal_value([data] if isinstance(data, str) else data)


@extend_schema_field({"type": "object", "additionalProperties": {"type": "number"}})
class LogitBiasField(serializers.Field[dict[int, float], Any, dict[str, float], Any]):
    """Token ids, as JSON writes keys, with −100 to 100 for each."""

    def to_internal_value(self, data: Any) -> dict[int, float]:
        if not isinstance(data, dict) or len(data) > MAX_BIASES:
            raise serializers.ValidationError(f"At most {MAX_BIASES} token ids are taken.")
        for token, bias in data.items():
            if not _is_bias(token, bias):
                message = "A token id is needed, with a number from -100 to 100."
                raise serializers.ValidationError({token: message}, code="invalid_value")
        return {int(token): float(bias) for token, bias in data.items()}


@extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
class MetadataField(serializers.Field[dict[str, str], Any, dict[str, str], Any]):
    """Labels of a stored answer, by which they are found again."""

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, dict) or len(data) > MAX_METADATA:
            raise serializers.ValidationError(
                f"An object of at most {MAX_METADATA} pairs is needed."
            )
        for key, value in data.items():
            is_text = isinstance(value, str) and len(value) <= MAX_METADATA_VALUE
            if not is_text or not 0 < len(key) <= MAX_METADATA_KEY:
                message = (
                    f"A text of at most {MAX_METADATA_VALUE} characters is needed, under a key of "
                    f"at most {MAX_METADATA_KEY}."
                )
                raise serializers.ValidationError({key[:80]: message}, code="invalid_value")
        return data


FORMAT_PROPERTIES = {
    "type": {"enum": ["text", "json_object", "json_schema"]},
    "json_schema": {"type": "object"},
}


@extend_schema_field({"type": "object", "properties": FORMAT_PROPERTIES, "required": ["type"]})
class ResponseFormatField(serializers.Field[Any, Any, Any, Any]):
    """Becomes the schema of the answer; None for a text."""

    def to_internal_value(self, data: Any) -> Schema | None:
        return wanted_schema(data)


@extend_schema_field({"type": "array", "items": {"type": "object"}})
class ToolsField(serializers.Field[Any, Any, Any, Any]):
    def to_internal_value(self, data: Any) -> list[Any]:
        tools: list[Any] = data if isinstance(data, list) else [None]
        if not all(isinstance(tool, dict) and isinstance(tool.get("type"), str) for tool in tools):
            raise serializers.ValidationError("A list of tools is needed, each with its type.")
        return tools


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "object"}]})
class ToolChoiceField(serializers.Field[Any, Any, Any, Any]):
    def to_internal_value(self, data: Any) -> str:
        if data in ("none", "auto"):
            return str(data)
        raise serializers.ValidationError(NO_TOOLS, code="unsupported_value")


@extend_schema_field(
    {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
)
class PromptField(serializers.Field[list[str], Any, list[str], Any]):
    def to_internal_value(self, data: Any) -> list[str]:
        prompts = data if isinstance(data, list) else [data]
        if any(isinstance(prompt, int | list) for prompt in prompts):
            message = "Token ids are not supported: give a text, or a list of texts."
            raise serializers.ValidationError(message, code="unsupported_value")
        if not prompts or not all(isinstance(prompt, str) for prompt in prompts):
            raise serializers.ValidationError("A text is needed, or a list of texts.")
        if len(prompts) > MAX_PROMPTS:
            raise serializers.ValidationError(f"At most {MAX_PROMPTS} prompts are taken at once.")
        return prompts


class AnswerRequestSerializer(serializers.Serializer[AnswerRequest]):
    """What chat and text completions have in common."""

    model = serializers.CharField()
    temperature = serializers.FloatField(min_value=0, max_value=2, required=False)
    top_p = serializers.FloatField(min_value=0, max_value=1, required=False)
    n = serializers.IntegerField(min_value=1, max_value=MAX_CHOICES, default=1)
    max_tokens = serializers.IntegerField(min_value=1, max_value=MAX_TOKENS, required=False)
    stop = StopField(max_length=MAX_STOPS, required=False)
    seed = serializers.IntegerField(min_value=-MAX_SEED - 1, max_value=MAX_SEED, required=False)
    presence_penalty = serializers.FloatField(min_value=-2, max_value=2, required=False)
    frequency_penalty = serializers.FloatField(min_value=-2, max_value=2, required=False)
    logit_bias = LogitBiasField(required=False)
    stream = serializers.BooleanField(default=False)
    stream_options = StreamOptionsSerializer(required=False)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            message = "The body must be a JSON object."
            raise serializers.ValidationError({"non_field_errors": [message]})
        given = {key: value for key, value in data.items() if value is not None}
        for key in given.keys() - HARMLESS - self.fields.keys():
            _refuse_unless_neutral(key, given[key])
        return super().to_internal_value(given)


class ChatRequestSerializer(AnswerRequestSerializer):
    messages = ChatMessageSerializer(many=True, allow_empty=False)
    max_completion_tokens = serializers.IntegerField(
        min_value=1, max_value=MAX_TOKENS, required=False
    )
    logprobs = serializers.BooleanField(default=False)
    top_logprobs = serializers.IntegerField(min_value=0, max_value=MAX_TOP_LOGPROBS, required=False)
    response_format = ResponseFormatField(required=False)
    store = serializers.BooleanField(required=False)
    metadata = MetadataField(required=False)
    tools = ToolsField(required=False)
    tool_choice = ToolChoiceField(required=False)

    def validate(self, request: ChatRequest) -> ChatRequest:
        if request.get("top_logprobs") and not request["logprobs"]:
            message = "logprobs must be true where top_logprobs is given."
            raise serializers.ValidationError({"top_logprobs": message})
        return request


class TextRequestSerializer(AnswerRequestSerializer):
    prompt = PromptField()
    logprobs = serializers.IntegerField(min_value=0, max_value=MAX_TEXT_LOGPROBS, required=False)


def chat_config(request: ChatRequest) -> GenerationConfig:
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    return replace(
        _config(request, limit),
        top_logprobs=request.get("top_logprobs", 0) if request["logprobs"] else None,
        json_schema=request.get("response_format"),
    )


def text_config(request: TextRequest) -> GenerationConfig:
    limit = request.get("max_tokens", TEXT_TOKENS)
    return replace(_config(request, limit), top_logprobs=request.get("logprobs"))


def conversation(request: ChatRequest, system_prompt: str) -> list[Message]:
    """Return the messages, led by the model's system prompt unless the request brings one."""
    messages: list[Message] = [
        {"role": message["role"].replace("developer", "system"), "content": message["content"]}
        for message in request["messages"]
    ]
    if system_prompt and all(message["role"] != "system" for message in messages):
        messages.insert(0, {"role": "system", "content": system_prompt})
    return messages


def raw_prompts(request: TextRequest) -> list[list[Message]]:
    """Return each prompt as a conversation that is put to the model as it stands."""
    return [[{"role": RAW, "content": prompt}] for prompt in request["prompt"]]


def _config(request: AnswerRequest, limit: int | None) -> GenerationConfig:
    """Read the settings; what the request leaves out keeps the engine's default."""
    default = GenerationConfig()
    seed = request.get("seed")
    return GenerationConfig(
        max_new_tokens=limit or default.max_new_tokens,
        temperature=request.get("temperature", default.temperature),
        top_p=max(request.get("top_p", default.top_p), LEAST_TOP_P),
        stop=tuple(request.get("stop", ())),
        # OpenAI's are of 64 bits, llama.cpp's of 32.
        seed=None if seed is None else seed % RANDOM_SEED,
        presence_penalty=request.get("presence_penalty", default.presence_penalty),
        frequency_penalty=request.get("frequency_penalty", default.frequency_penalty),
        logit_bias=request.get("logit_bias", {}),
    )


def _refuse_unless_neutral(key: str, value: Any) -> None:
    if key not in NEUTRAL:
        message = f"Unrecognized request argument supplied: {key}"
        raise serializers.ValidationError({key: message}, code="unknown_parameter")
    if value not in NEUTRAL[key]:
        message = f"This server does not support this value of {key}."
        raise serializers.ValidationError({key: message}, code="unsupported_value")


def _is_bias(token: Any, bias: Any) -> bool:
    is_number = isinstance(bias, int | float) and not isinstance(bias, bool)
    is_id = token.isascii() and token.isdigit() and len(token) < 8
    return is_id and is_number and -100 <= bias <= 100


def _is_text_part(part: Any) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )
