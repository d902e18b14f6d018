"""The offline base is put in place once, whole or not at all."""

import threading
import time

import pytest
from gguf import GGUFReader

from modelstation.lm import loading
from modelstation.lm.bases.catalog import BASES

NAME = "smollm2-135m-instruct"


@pytest.fixture
def fills(monkeypatch):
    """Stands in for the half minute of work; counts how often it is done."""
    done = []

    def fill(folder):
        time.sleep(0.05)
        for name in ("config.json", "model.safetensors", loading.GGUF_NAME):
            (folder / name).write_text("weights")
        done.append(folder)

    monkeypatch.setattr(loading, "_fill_offline_base", fill)
    return done


def test_the_base_is_put_in_place_once(tmp_path, fills):
    loading.ensure_offline_weights(tmp_path / "models")
    loading.ensure_offline_weights(tmp_path / "models")

    assert len(fills) == 1
    assert loading.base_folder(tmp_path / "models", NAME) == tmp_path / "models" / NAME


def test_two_at_once_do_the_work_once(tmp_path, fills):
    threads = [
        threading.Thread(target=loading.ensure_offline_weights, args=(tmp_path,)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(fills) == 1


def test_work_that_breaks_off_leaves_nothing_that_looks_ready(tmp_path, monkeypatch, fills):
    def break_off(folder):
        (folder / "model.safetensors").write_text("half")
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(loading, "_fill_offline_base", break_off)
        with pytest.raises(OSError, match="no space"):
            loading.ensure_offline_weights(tmp_path)
    assert not (tmp_path / NAME).exists()

    loading.ensure_offline_weights(tmp_path)
    assert (tmp_path / NAME / "model.safetensors").read_text() == "weights"


def test_absent_weights_say_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="make setup"):
        loading.base_folder(tmp_path, NAME)
    online = next(base for base in BASES.values() if not base.offline)
    with pytest.raises(ValueError, match=f"manage.py fetch_base {online.name}"):
        loading.base_folder(tmp_path, online.name)
    with pytest.raises(ValueError, match="Unknown base model 'gpt-9'"):
        loading.base_folder(tmp_path, "gpt-9")


def test_the_packaged_tokenizer_is_rebuilt_true_to_its_metadata():
    fields = {
        name: field.contents()
        for name, field in GGUFReader(str(loading._packaged_gguf())).fields.items()
    }
    tokenizer = loading._tokenizer_from_gguf(fields)

    tokens = fields["tokenizer.ggml.tokens"]
    assert [tokenizer.id_to_token(index) for index in range(len(tokens))] == tokens
    assert tokenizer.encode("2024 cards").tokens == ["2", "0", "2", "4", "Ġcards"]
    assert tokenizer.encode("<|im_end|>").ids == [fields["tokenizer.ggml.eos_token_id"]]
    text = "Grüße, 日本 🙂\n\tdef f(x): return x**2"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
