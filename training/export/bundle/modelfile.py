"""Ollama's Modelfile: the chat template as a Go template, found by looking at what the model's own
one writes around each message, and proved on whole conversations before it is used.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from modelstation.lm.chat import ChatRenderer, Message
from training.export.bundle.card import template_of

ROLES = ("system", "user", "assistant")
CANNOT_SAY = (
    "# The chat template of this model cannot be written in Ollama's language; Ollama takes the\n"
    "# one in the GGUF where it knows it. Prefer llama.cpp (run.sh), which uses it as it is."
)


@dataclass(frozen=True)
class TurnFormat:
    """What stands before and after the content of each role, and before an answer."""

    before: dict[str, str]
    after: dict[str, str]
    answer: str

    def render(self, messages: Sequence[Message]) -> str:
        turns = (
            self.before[turn["role"]] + turn["content"] + self.after[turn["role"]]
            for turn in messages
        )
        return "".join(turns) + self.answer


def turn_format(renderer: ChatRenderer, *, has_system: bool = True) -> TurnFormat | None:
    """None for a template that is more than marks around messages, with a system prompt in front
    or, where the model has none, without: some templates then bring one of their own.
    """
    try:
        turns = _marks_of(renderer)
    except ValueError:
        return None
    opening = ("system", "user") if has_system else ("user",)
    proofs = [_chat(*opening), _chat(*opening, "assistant", "user")]
    is_true = all(turns.render(chat) == renderer.render_text(chat) for chat in proofs)
    return turns if is_true else None


def _marks_of(renderer: ChatRenderer) -> TurnFormat:
    chat = _chat("system", "user", "assistant", "user")
    marks = [turn["content"] for turn in chat]
    start, system_user, user_answer, answer_user, end = _between(renderer.render_text(chat), marks)
    after_user, after_answer = (
        _between(renderer.render_text(chat[:n], add_generation_prompt=False), marks[:n])[-1]
        for n in (2, 3)
    )
    before_user = answer_user.removeprefix(after_answer)
    before_answer = user_answer.removeprefix(after_user)
    after_system = system_user.removesuffix(before_user)
    return TurnFormat(
        before={"system": start, "user": before_user, "assistant": before_answer},
        after={"system": after_system, "user": after_user, "assistant": after_answer},
        answer=end.removeprefix(after_user),
    )


def _chat(*roles: str) -> list[Message]:
    return [{"role": role, "content": f"\ue000{at}\ue001"} for at, role in enumerate(roles)]


def _between(text: str, marks: Sequence[str]) -> list[str]:
    parts = []
    for mark in marks:
        before, separator, text = text.partition(mark)
        if not separator:
            raise ValueError("The template leaves a message out.")
        parts.append(before)
    return [*parts, text]


def render_modelfile(
    renderer: ChatRenderer, gguf: str, *, system_prompt: str, context: int, max_tokens: int
) -> str:
    return template_of("Modelfile").render(
        gguf=gguf,
        template=_go_template(turn_format(renderer, has_system=bool(system_prompt))),
        system_prompt=system_prompt,
        stops=[renderer.show([token]) for token in renderer.stop_token_ids],
        context=context,
        max_tokens=max_tokens,
    )


def _go_template(turns: TurnFormat | None) -> str:
    if turns is None:
        return CANNOT_SAY
    messages = (
        f'{{{{ if eq .Role "{role}" }}}}{turns.before[role]}{{{{ .Content }}}}{turns.after[role]}'
        "{{ end }}"
        for role in ROLES
    )
    text = "{{ range .Messages }}" + "".join(messages) + "{{ end }}" + turns.answer
    literal = [*turns.before.values(), *turns.after.values(), turns.answer]
    is_plain = not any(mark in part for part in literal for mark in ("{{", "}}", '"""'))
    return f'TEMPLATE """{text}"""' if is_plain else CANNOT_SAY
