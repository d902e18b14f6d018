"""Models small enough to train in seconds, for tests of everything that needs some model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
_SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def make_tiny_llama(folder: Path, *, seed: int = 0) -> Path:
    """Write a random 2-layer llama with a working byte-level BPE tokenizer; return `folder`.

    Widths are multiples of 32, which q8_0 needs; in float32, a few steps of training move it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _train_tokenizer()
    _save_tokenizer(tokenizer, folder)
    size = tokenizer.get_vocab_size()
    _save_model("llama", folder, seed, ruffled=False, vocab_size=size, **_special_ids())
    return folder


def make_tiny_qwen(folder: Path, architecture: str, *, seed: int = 0) -> Path:
    """Write the same as a "qwen2" or "qwen3", with that family's cut of text into words, and an
    embedding that is longer than the vocabulary, as theirs is."""
    from tokenizers import Regex, pre_tokenizers

    from modelstation.lm.gguf.tokenizer import QWEN2_CUT

    folder.mkdir(parents=True, exist_ok=True)
    cut = pre_tokenizers.Split(Regex(QWEN2_CUT), behavior="isolated")
    tokenizer = _train_tokenizer(cut, pre_tokenizers.ByteLevel(False, use_regex=False))
    _save_tokenizer(tokenizer, folder)
    size = tokenizer.get_vocab_size() + 32
    own: dict[str, Any] = {"head_dim": 64} if architecture == "qwen3" else {}
    _save_model(architecture, folder, seed, vocab_size=size, **own, **_special_ids())
    return folder


def make_tiny_sentencepiece(folder: Path, *, seed: int = 0) -> Path:
    """Write a llama with a tokenizer as of TinyLlama (bytes stand in for what has no token) and a
    head of its own. Its chat template writes turns as plain text."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _train_sentencepiece()
    _save_tokenizer(tokenizer, folder, ZEPHYR, bos="<s>", eos="</s>", unk="<unk>")
    size = tokenizer.get_vocab_size()
    _save_model("llama", folder, seed, vocab_size=size, tie_word_embeddings=False, **_special_ids())
    return folder


def _special_ids() -> dict[str, Any]:
    return {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}


def _save_model(
    architecture: str, folder: Path, seed: int, *, ruffled: bool = True, **wanted: Any
) -> None:
    """`ruffled`: norms and biases start apart from one and zero, so that a lost one shows."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = AutoConfig.for_model(architecture, **(sizes | wanted))
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():
            if ruffled and parameter.ndim == 1:
                parameter.data += torch.randn_like(parameter) / 4
        model.save_pretrained(folder)


def _train_sentencepiece() -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    marks = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    tokenizer.normalizer = normalizers.Sequence(marks)
    bytes_joined = [decoders.ByteFallback(), decoders.Fuse()]
    unmarked = [decoders.Replace("▁", " "), *bytes_joined, decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(unmarked)
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=512, special_tokens=specials, show_progress=False)
    words = (f" {word}" for sentence in _sentences() for word in sentence.split())
    tokenizer.train_from_iterator(words, trainer)
    settings = json.loads(tokenizer.to_str())
    # The bytes are plain entries of the vocabulary.
    settings["added_tokens"] = settings["added_tokens"][:3]
    return Tokenizer.from_str(json.dumps(settings))


def _train_tokenizer(*cuts: Any) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    smollm = (pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(cuts or smollm))
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=_SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_sentences(), trainer)
    return tokenizer


def _sentences() -> Iterator[str]:
    yield "system user assistant yes no positive negative neutral true false null"
    for verb in ("answer", "translate", "classify", "extract", "rewrite", "summarise"):
        for noun in ("the question", "this sentence", "the message of the customer", "a number"):
            yield f"Please {verb} {noun} with one word. What is the label for it?"
            yield f'{{"label": "{verb}", "value": "{noun}"}}'


def _save_tokenizer(
    tokenizer: "Tokenizer",
    folder: Path,
    template: str = CHATML,
    *,
    bos: str = "<|im_start|>",
    eos: str = "<|im_end|>",
    unk: str = "<|endoftext|>",
) -> None:
    from transformers import PreTrainedTokenizerFast

    named = {"bos_token": bos, "eos_token": eos, "pad_token": eos, "unk_token": unk}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, chat_template=template, model_max_length=2048, **named
    ).save_pretrained(folder)
