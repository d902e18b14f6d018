"""One request to a teacher, over the guard of addresses, or to a base on our own model server.

What goes wrong is one of two: `Away` passes with time, `TeacherRefused` does not. No key is in any
message.
"""

import json
from dataclasses import dataclass
from typing import Any

from distillation.teachers.prompts import Prompt
from distillation.teachers.rows import Teacher
from models_app.gateway.paths import base_paths
from modelstation.core import outbound
from modelstation.core.encrypted import Sealed
from modelstation.core.errors import Unavailable, UserFacingError

SECONDS = 120.0  # of one request
LOOK_SECONDS = 10.0  # of a test of the connection
MOST_BYTES = 2_000_000  # of one answer
MOST_WAIT = 120.0  # seconds that a Retry-After is believed
CHARS_PER_TOKEN = 3  # fewer than English has: a budget is not to be exceeded
TOKENS_PER_ITEM = {"rows": 220, "outputs": 160, "verdicts": 6}
RATE_LIMITED = 429
KEY_REFUSED = (401, 403)
# Busy, slow, or a proxy whose server is away: passes with time.
PASSING = (408, 409, 425, RATE_LIMITED, 500, 502, 503, 504, 520, 522, 524, 529)


class Away(Exception):
    """No answer this time; the message says why. `is_answered`: the teacher refused to work, so
    that nothing is paid."""

    def __init__(self, message: str, *, retry_after: float = 0.0, is_answered: bool) -> None:
        super().__init__(message)
        self.retry_after, self.is_answered = retry_after, is_answered


class TeacherRefused(UserFacingError):
    """What another try does not help against."""


@dataclass(frozen=True)
class Reply:
    text: str
    prompt_tokens: int
    completion_tokens: int


def ask(
    teacher: Teacher, prompt: Prompt, most_tokens: int = 0, *, seconds: float = SECONDS
) -> Reply:
    """`most_tokens` of the answer: what is left of a budget. Raise Away or TeacherRefused."""
    most = most_tokens or most_answer_tokens(prompt)
    if teacher.kind == Teacher.Kind.BASE:
        return _ask_base(teacher, prompt, most)
    body = {
        "model": teacher.model_name,
        "messages": prompt.messages,
        "response_format": prompt.response_format,
        "temperature": 0.0 if prompt.purpose == "verdicts" else 0.9,
        "max_tokens": most,
        "seed": prompt.seed,
    }
    answer = _send(teacher, "POST", "/chat/completions", json.dumps(body).encode(), seconds)
    _raise_for(teacher, answer)
    return _reply(answer, prompt)


def models_of(teacher: Teacher) -> list[str]:
    """Return the names of the models that the endpoint lists."""
    answer = _send(teacher, "GET", "/models", b"", LOOK_SECONDS)
    _raise_for(teacher, answer)
    listed = _json(answer)
    data = listed.get("data", []) if isinstance(listed, dict) else []
    return [str(m["id"]) for m in data if isinstance(m, dict) and "id" in m]


def expected_tokens(prompt: Prompt) -> tuple[int, int]:
    """Return about how many tokens its question and its answer take."""
    asked = len(prompt.system) + len(prompt.user) + len(json.dumps(prompt.schema))
    return asked // CHARS_PER_TOKEN, prompt.count * TOKENS_PER_ITEM[prompt.purpose] // 2


def most_answer_tokens(prompt: Prompt) -> int:
    return 200 + prompt.count * TOKENS_PER_ITEM[prompt.purpose] * 2


def _send(
    teacher: Teacher, method: str, path: str, content: bytes, seconds: float
) -> outbound.Answer:
    headers = {"content-type": "application/json", "accept": "application/json"}
    headers["user-agent"] = "ModelStation"
    if isinstance(teacher.api_key, Sealed):
        headers["authorization"] = f"Bearer {teacher.api_key.open()}"
    elif teacher.api_key:
        headers["authorization"] = f"Bearer {teacher.api_key}"
    url = teacher.base_url.rstrip("/") + path
    try:
        return outbound.send(
            method,
            url,
            content=content,
            headers=headers,
            seconds=seconds,
            most_bytes=MOST_BYTES,
            allow_private=teacher.org_id is None,  # the operator may use what is in the house
        )
    except outbound.Unreachable as error:
        raise Away(f"it cannot be reached ({error})", is_answered=False) from None


def _raise_for(teacher: Teacher, answer: outbound.Answer) -> None:
    status = answer.status
    if status in KEY_REFUSED:
        message = f"{teacher.name} does not accept the key (HTTP {status})."
        hint = "Store a valid key on the teacher's page; nothing was sent again."
        raise TeacherRefused(message, code="teacher_key_refused", hint=hint)
    if status in PASSING:
        why = "too many requests" if status == RATE_LIMITED else f"HTTP {status}"
        raise Away(why, retry_after=_seconds(answer.retry_after), is_answered=True)
    if 300 <= status < 400:
        message = f"{teacher.name} points to another address (HTTP {status})."
        hint = "Give the address that it points to: redirects are not followed."
        raise TeacherRefused(message, code="teacher_redirects", hint=hint)
    if status != 200:
        message = f"{teacher.name} refuses the request (HTTP {status})."
        hint = "Check its base URL (it usually ends with /v1) and the name of its model."
        raise TeacherRefused(message, code="teacher_refuses", hint=hint)
    if not answer.is_whole:
        message = f"{teacher.name} answers with more than {MOST_BYTES // 1_000_000} MB."
        hint = "That is no answer of a model; check the base URL."
        raise TeacherRefused(message, code="teacher_answers_too_much", hint=hint)


def _seconds(header: str) -> float:
    """Return what Retry-After says, 0 where it says nothing that can be read."""
    try:
        return min(max(float(header), 0.0), MOST_WAIT)
    except ValueError:
        return 0.0


def _json(answer: outbound.Answer) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        starts = "a web page" if answer.body.lstrip()[:1] == b"<" else "something that is no JSON"
        message = f"This address answers with {starts}, not as an OpenAI-compatible endpoint does."
        hint = "Check the base URL; it usually ends with /v1."
        raise TeacherRefused(message, code="not_a_teacher", hint=hint) from None


def _reply(answer: outbound.Answer, prompt: Prompt) -> Reply:
    body = _json(answer)
    try:
        text = body["choices"][0]["message"]["content"] or ""
    except (KeyError, IndexError, TypeError):
        text = None
    if not isinstance(text, str):
        message = "The answer is not that of an OpenAI-compatible endpoint: it has no message."
        hint = "Check the base URL; it usually ends with /v1."
        raise TeacherRefused(message, code="not_a_teacher", hint=hint)
    usage = body.get("usage") if isinstance(body.get("usage"), dict) else {}
    expected, _ = expected_tokens(prompt)
    return Reply(
        text,
        _count(usage.get("prompt_tokens"), expected),
        _count(usage.get("completion_tokens"), len(text) // CHARS_PER_TOKEN),
    )


def _count(stated: Any, otherwise: int) -> int:
    """Return the tokens that an answer states; a teacher may state none, or nonsense."""
    is_count = isinstance(stated, int) and not isinstance(stated, bool) and 0 <= stated < 10**7
    return stated if is_count else otherwise


def _ask_base(teacher: Teacher, prompt: Prompt, most_tokens: int) -> Reply:
    from models_app.serving import client

    assert teacher.base is not None
    gguf, folder = base_paths(teacher.base)
    config = client.GenerationConfig(
        max_new_tokens=most_tokens,
        temperature=0.0 if prompt.purpose == "verdicts" else 0.9,
        seed=prompt.seed,
        json_schema=prompt.schema,
    )
    try:
        done = client.generate(gguf, folder, prompt.messages, config, owner=str(teacher.org_id))
    except (client.Refused, Unavailable) as error:
        if getattr(error, "retry_after", 1) is None:
            raise TeacherRefused(error.message, code=error.code, hint=error.hint) from error
        raise Away(error.message, is_answered=True) from None
    return Reply(done.text, done.prompt_tokens, done.completion_tokens)
