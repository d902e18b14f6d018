"""One exported tiny llama for all tests of serving; float32, so that llama.cpp is exact."""

import shutil

import pytest

from models_app.serving.engine import Engine
from modelstation.lm.gguf_export import export_gguf


@pytest.fixture(scope="session")
def exported(tiny_llama, tmp_path_factory):
    """A folder as a model version has it: the GGUF and the tokenizer's files."""
    folder = tmp_path_factory.mktemp("exported")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tiny_llama / name, folder)
    export_gguf(tiny_llama, folder / "model.gguf", quantization="f32")
    return folder


@pytest.fixture(scope="session")
def engine(exported):
    engine = Engine(exported / "model.gguf", exported, n_ctx=256, n_threads=1, n_parallel=4)
    yield engine
    engine.close()
