"""Ollama's template: what it writes is what the model's own template writes."""

from pathlib import Path

import pytest

import modelstation.lm
from modelstation.lm.chat import load_renderer
from modelstation.lm.testing import make_tiny_sentencepiece
from training.export.bundle.modelfile import CANNOT_SAY, render_modelfile, turn_format

TEMPLATES = Path(modelstation.lm.__file__).parent / "tests" / "templates"
CHAT = [
    {"role": "system", "content": "Label it."},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "A"},
    {"role": "user", "content": "two"},
]


def modelfile(renderer, prompt="Label it."):
    return render_modelfile(renderer, "m.gguf", system_prompt=prompt, context=512, max_tokens=16)


@pytest.mark.parametrize("name", ["smollm2", "qwen2.5", "qwen3"])
def test_the_templates_of_the_bases_are_written_faithfully(tiny_llama, name):
    renderer = load_renderer(tiny_llama).with_template((TEMPLATES / f"{name}.jinja").read_text())
    turns = turn_format(renderer)
    assert turns is not None
    for chat in (CHAT[:2], CHAT):
        assert turns.render(chat) == renderer.render_text(chat)
    assert "TEMPLATE" in modelfile(renderer)


def test_a_template_of_plain_text_turns_is_written_faithfully(tmp_path):
    renderer = load_renderer(make_tiny_sentencepiece(tmp_path))
    turns = turn_format(renderer)
    assert turns is not None
    assert turns.render(CHAT) == renderer.render_text(CHAT)


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}{% endif %}{% endfor %}",
        "{% for m in messages %}<{{ '{{' }}>{{ m.content }}{% endfor %}",
    ],
)
def test_what_ollama_cannot_say_is_not_claimed(tiny_llama, template):
    text = modelfile(load_renderer(tiny_llama).with_template(template))
    assert CANNOT_SAY in text
    assert "TEMPLATE" not in text


def test_a_system_prompt_that_would_end_the_quotation_is_left_out(tiny_llama):
    text = modelfile(load_renderer(tiny_llama), 'Say """ and go on')
    assert "\nSYSTEM" not in text
    assert "send it yourself" in text


def test_a_template_with_a_system_prompt_of_its_own_is_not_claimed_without_one(tiny_llama):
    """SmolLM2's says something where nobody does; Ollama's template would not."""
    renderer = load_renderer(tiny_llama).with_template((TEMPLATES / "smollm2.jinja").read_text())
    assert CANNOT_SAY in modelfile(renderer, prompt="")
    assert "TEMPLATE" in modelfile(load_renderer(tiny_llama), prompt="")
