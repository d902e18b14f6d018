"""Answers of a base are kept for the next evaluation, and only for the very same question."""

import os

import pytest

from training.scoring import cache
from training.scoring.generate import Generated

PROMPTS = [[{"role": "user", "content": "hello"}], [{"role": "user", "content": "bye"}]]
ANSWERS = Generated(
    ["a", "b"], seconds=1.0, answer_tokens=2, cut_off=0, tokens=[1, 1], distinct_prompts=2
)


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"weights")
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    return tmp_path


def entry(model, prompts=PROMPTS, max_tokens=16):
    return cache.entry_path(model / "kept", model / "model.gguf", model, prompts, max_tokens)


def test_what_was_written_is_read_again(model):
    assert cache.read_entry(entry(model), 2) is None
    cache.write_entry(entry(model), ANSWERS)
    assert cache.read_entry(entry(model), 2) == ANSWERS
    assert [path.name for path in (model / "kept").iterdir()] == [entry(model).name]


def test_another_file_template_prompt_or_length_is_another_entry(model):
    names = {entry(model), entry(model, PROMPTS[:1]), entry(model, max_tokens=17)}
    os.utime(model / "model.gguf", ns=(1, 1))
    names.add(entry(model))
    (model / "chat_template.jinja").write_text("{{ other }}")
    names.add(entry(model))
    assert len(names) == 5


def test_a_damaged_entry_counts_as_missing(model):
    path = entry(model)
    cache.write_entry(path, ANSWERS)
    assert cache.read_entry(path, 3) is None
    for damage in ('{"texts": ["a"', "[]", '{"texts": ["a", "b"]}'):
        path.write_text(damage)
        assert cache.read_entry(path, 2) is None


def test_the_oldest_entries_make_room(model, monkeypatch):
    monkeypatch.setattr(cache, "MOST_ENTRIES", 2)
    for number in range(3):
        path = entry(model, max_tokens=number + 1)
        cache.write_entry(path, ANSWERS)
        os.utime(path, ns=(number, number))
    cache.write_entry(entry(model, max_tokens=9), ANSWERS)
    left = {path.name for path in (model / "kept").iterdir()}
    assert len(left) == 2
    assert entry(model, max_tokens=9).name in left
