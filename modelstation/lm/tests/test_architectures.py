"""Every architecture of the catalogue: transformers and llama.cpp answer alike, the recipe finds
trunk and head, and both tokenise the same.
"""

import json
import urllib.request

import pytest
import torch
import xllamacpp
from gguf import GGUFReader

from models_app.serving.engine import Engine, GenerationConfig
from modelstation.lm.bases.catalog import BASES
from modelstation.lm.chat import load_renderer
from modelstation.lm.gguf.config import MODEL_TYPES
from modelstation.lm.gguf.export import export_gguf
from modelstation.lm.loading import load_causal_lm
from modelstation.lm.testing import (
    make_tiny_llama,
    make_tiny_qwen,
    make_tiny_sentencepiece,
)

MAKERS = {
    "smollm2": make_tiny_llama,
    "qwen2": lambda folder, **kw: make_tiny_qwen(folder, "qwen2", **kw),
    "qwen3": lambda folder, **kw: make_tiny_qwen(folder, "qwen3", **kw),
    "sentencepiece": make_tiny_sentencepiece,
}
TEXTS = (
    "Please answer.",
    "What is the label?",
    "1234 in 2026, 3.5%",
    "Grüße 🙂 日本",
    "a\n\nb  c\t d",
    "don't SAY it's {\"x\": 1}",
    " leading",
)


@pytest.fixture(params=list(MAKERS), scope="module")
def tiny(request, tmp_path_factory):
    folder = MAKERS[request.param](tmp_path_factory.mktemp(request.param) / "model", seed=3)
    export_gguf(folder, folder / "model.gguf", quantisation="f32")
    return folder


def test_every_architecture_of_the_catalogue_is_tried_here():
    assert {base.architecture for base in BASES.values()} == set(MODEL_TYPES)


def test_llama_cpp_takes_the_tokens_that_transformers_finds_most_likely(tiny):
    """Random weights come near to ties, and llama.cpp keeps keys and values in half precision:
    each token must be the best, or within a hundredth of it, after the same tokens before.
    """
    model, renderer = load_causal_lm(tiny, torch.float32), load_renderer(tiny)
    engine = Engine(tiny / "model.gguf", tiny, n_ctx=256, n_parallel=1, n_threads=1)
    # Bytes that are no letter are held back by llama.cpp, and an end tells little: neither may
    # take them.
    size = model.config.vocab_size
    barred = [i for i in range(size) if "�" in renderer.decode([i]) or not renderer.decode([i])]
    bias = [[index, False] for index in barred]
    for text in TEXTS:
        messages = [{"role": "user", "content": text}]
        prompt = renderer.render_prompt(messages)
        with engine._slots.take(()) as slot:
            config = GenerationConfig(max_new_tokens=24)
            request = engine._request(prompt, config, slot, cache_prompt=False)
        reply = engine._server.handle_completions({**request, "logprobs": 1, "logit_bias": bias})
        taken = [token["id"] for token in reply["choices"][0]["logprobs"]["content"]]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + taken])).logits[0, len(prompt) - 1 : -1]
        logits[:, barred] = -torch.inf
        behind = logits.max(-1).values - logits[range(len(taken)), taken]
        assert len(taken) > 10
        assert behind.max() < 0.01
        assert (behind == 0).float().mean() > 0.9
    engine.close()


def test_llama_cpp_tokenises_as_the_tokenizer_does(tiny):
    renderer = load_renderer(tiny)
    params = xllamacpp.CommonParams()
    params.model.path = str(tiny / "model.gguf")
    params.n_ctx, params.warmup, params.fit_params, params.verbosity = 64, False, False, 0
    server = xllamacpp.Server(params)
    server.handle_completions({"prompt": [renderer.eos_token_id], "max_tokens": 1})
    for text in TEXTS:
        request = urllib.request.Request(
            f"{server.listening_address}/tokenize",
            json.dumps({"content": text, "parse_special": False}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            tokens = json.load(answer)["tokens"]
        assert tokens == renderer._plain.encode(text, add_special_tokens=False).ids, text


def test_the_recipe_finds_trunk_and_head_and_the_head_is_all_that_is_left(tiny):
    model = load_causal_lm(tiny, torch.float32)
    ids = torch.tensor([load_renderer(tiny).render_prompt([{"role": "user", "content": "hello"}])])
    with torch.no_grad():
        hidden = model.model(input_ids=ids).last_hidden_state
        assert torch.equal(model.lm_head(hidden), model(input_ids=ids).logits)


def test_a_head_that_is_tied_and_stored_all_the_same_is_left_out(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = make_tiny_qwen(tmp_path / "model", "qwen3")
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    export_gguf(folder, tmp_path / "model.gguf")

    tensors = GGUFReader(str(tmp_path / "model.gguf")).tensors
    assert "output.weight" not in {tensor.name for tensor in tensors}
    assert sum(int(tensor.n_elements) for tensor in tensors) == sum(
        p.numel() for p in load_causal_lm(folder, torch.float32).parameters()
    )


@pytest.mark.parametrize("base", BASES.values(), ids=lambda base: base.name)
def test_the_stated_parameters_are_what_the_sizes_add_up_to(base):
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        base.architecture,
        hidden_size=base.hidden_size,
        intermediate_size=base.intermediate_size,
        num_hidden_layers=base.layers,
        num_attention_heads=base.heads,
        num_key_value_heads=base.kv_heads,
        head_dim=base.head_dim,
        vocab_size=base.vocabulary,
        tie_word_embeddings=base.tied,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert sum(p.numel() for p in model.parameters()) == base.parameters
    assert sum(p.numel() for p in model.model.layers.parameters()) + base.hidden_size == (
        base.trunk_parameters
    )
