"""The engine answers as transformers does, keeps order, and says why when it cannot."""

import shutil

import pytest
import torch

from models_app.serving.engine import Completion, Engine, GenerationConfig, ServingError
from modelstation.lm.chat import load_renderer
from modelstation.lm.gguf.export import export_gguf
from modelstation.lm.loading import base_folder, load_causal_lm
from modelstation.testing import REPOSITORY

LONG = [{"role": "user", "content": "message " * 500}]
CHATS = [
    [{"role": "user", "content": text}]
    for text in ("Please answer.", "What is the label?", "1234", "", "Grüße 🙂", "a\nb", "x " * 40)
]


def greedy(model, renderer, messages, max_tokens):
    ids = renderer.render_prompt(messages)
    with torch.no_grad():
        out = model.generate(torch.tensor([ids]), max_new_tokens=max_tokens, do_sample=False)
    return renderer.decode(out[0, len(ids) :].tolist())


def test_greedy_answers_equal_those_of_transformers(engine, tiny_llama):
    model, renderer = load_causal_lm(tiny_llama, torch.float32), load_renderer(tiny_llama)
    config = GenerationConfig(max_new_tokens=24)

    for messages in CHATS:
        answer = engine.generate(messages, config)
        assert answer.text == greedy(model, renderer, messages, 24)
        assert answer.prompt_tokens == len(renderer.render_prompt(messages))


@pytest.mark.slow
def test_the_real_base_answers_as_transformers_does(tmp_path):
    try:
        folder = base_folder(REPOSITORY / "var" / "models", "smollm2-135m-instruct")
    except ValueError as absent:
        pytest.skip(str(absent))
    export_gguf(folder, tmp_path / "model.gguf", quantisation="f16")
    engine = Engine(tmp_path / "model.gguf", folder, n_ctx=256, n_parallel=1)
    model, renderer = load_causal_lm(folder, torch.float32), load_renderer(folder)

    for question in ("What is the capital of France?", "List three colours."):
        messages = [{"role": "user", "content": question}]
        answer = engine.generate(messages, GenerationConfig(max_new_tokens=24))
        assert answer.text == greedy(model, renderer, messages, 24)
    engine.close()


def test_many_answers_keep_the_order_of_their_prompts(engine):
    config = GenerationConfig(max_new_tokens=12)
    heard = []

    together = engine.generate_many(CHATS * 3, config, heard.append)

    assert together == [engine.generate(messages, config) for messages in CHATS] * 3
    assert heard == list(range(1, len(CHATS) * 3 + 1))


def test_what_the_listener_raises_stops_the_rest(engine):
    class Cancelled(Exception):
        pass

    def cancel(done):
        raise Cancelled

    with pytest.raises(Cancelled):
        engine.generate_many(CHATS * 50, GenerationConfig(max_new_tokens=64), cancel)


def test_a_stream_ends_with_the_completion_of_its_pieces(engine):
    config = GenerationConfig(max_new_tokens=24)

    *pieces, completion = engine.stream(CHATS[0], config)

    assert len(pieces) > 1
    assert "".join(piece.text for piece in pieces) == completion.text
    assert completion == engine.generate(CHATS[0], config)


def test_a_stream_that_is_closed_stops_decoding(engine):
    stream = engine.stream(CHATS[0], GenerationConfig(max_new_tokens=200))
    next(stream)
    stream.close()

    assert isinstance(engine.generate(CHATS[0], GenerationConfig(max_new_tokens=1)), Completion)


def test_why_an_answer_ended_is_told(engine):
    cut = engine.generate(CHATS[0], GenerationConfig(max_new_tokens=3))
    assert (cut.completion_tokens, cut.finish_reason) == (3, "length")

    whole = engine.generate(CHATS[0], GenerationConfig(max_new_tokens=24))
    word = whole.text[len(whole.text) // 2 :][:3]
    stopped = engine.generate(CHATS[0], GenerationConfig(max_new_tokens=24, stop=(word,)))
    assert stopped.finish_reason == "stop"
    assert stopped.text == whole.text[: whole.text.index(word)]


def test_a_seed_repeats_a_sampled_answer(engine):
    def sample(seed):
        return engine.generate(CHATS[0], GenerationConfig(24, temperature=1.0, seed=seed)).text

    assert sample(1) == sample(1)
    assert len({sample(seed) for seed in range(5)}) > 1


def test_a_prompt_beyond_the_context_is_refused_with_its_length(engine):
    for ask in (
        lambda: engine.generate(LONG, GenerationConfig()),
        lambda: list(engine.stream(LONG, GenerationConfig())),
        lambda: engine.generate_many([CHATS[0], LONG], GenerationConfig(max_new_tokens=2)),
    ):
        with pytest.raises(ServingError, match="takes fewer than 256") as refused:
            ask()
        assert refused.value.code == "context_length_exceeded"


def test_messages_that_the_template_refuses_are_told(exported, tmp_path):
    picky = shutil.copytree(exported, tmp_path / "picky")
    (picky / "chat_template.jinja").write_text(
        "{% if messages[0]['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    )
    engine = Engine(picky / "model.gguf", picky, n_ctx=256, n_parallel=1)

    with pytest.raises(ServingError, match="no tools") as refused:
        engine.generate([{"role": "tool", "content": "x"}], GenerationConfig())
    assert refused.value.code == "invalid_messages"
    engine.close()


def test_a_missing_and_a_damaged_file_are_told_apart(exported, tmp_path):
    with pytest.raises(ServingError, match="absent.gguf does not exist") as missing:
        Engine(tmp_path / "absent.gguf", exported)
    assert missing.value.code == "model_file_missing"

    (tmp_path / "damaged.gguf").write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(ServingError, match="damaged") as damaged:
        Engine(tmp_path / "damaged.gguf", exported)
    assert damaged.value.code == "model_unreadable"


@pytest.mark.parametrize(
    "wrong", [{"max_new_tokens": 0}, {"temperature": -1}, {"temperature": 3}, {"top_p": 0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GenerationConfig(**wrong)
