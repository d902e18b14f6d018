"""One exported tiny llama for all tests of serving; float32, so that llama.cpp is exact."""

import shutil

import pytest

from models_app.serving.engine import Engine, GenerationConfig
from models_app.serving.vllm.engine import Vllm, VllmModel
from models_app.serving.wire import GenerateRequest
from models_app.tests.serving.vllm.stand_in import BASE, HELLO, KEY, StandIn, served
from modelstation.lm.gguf.export import export_gguf


@pytest.fixture(scope="session")
def exported(tiny_llama, tmp_path_factory):
    """A folder as a model version has it: the GGUF and the tokenizer's files."""
    folder = tmp_path_factory.mktemp("exported")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tiny_llama / name, folder)
    export_gguf(tiny_llama, folder / "model.gguf", quantisation="f32")
    return folder


@pytest.fixture(scope="session")
def engine(exported):
    engine = Engine(exported / "model.gguf", exported, n_ctx=256, n_threads=1, n_parallel=4)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def vllm_server(exported):
    """A stand-in of vLLM and its address."""
    stand_in = StandIn(exported)
    with served(stand_in) as url:
        yield stand_in, url


@pytest.fixture
def stand_in(vllm_server):
    vllm_server[0].begin_anew()
    return vllm_server[0]


@pytest.fixture
def vllm(vllm_server, stand_in):
    return Vllm(vllm_server[1], KEY, secret="s", max_adapters=2)


@pytest.fixture
def ask(vllm, exported):
    def ask(adapter=None, owner="", config=None, messages=HELLO):
        asked = GenerateRequest(exported, exported, messages, config or GenerationConfig(), owner)
        return vllm.generate(VllmModel(BASE, adapter), asked)

    return ask


@pytest.fixture
def stream(vllm, exported):
    def stream(adapter=None, owner="", config=None):
        asked = GenerateRequest(exported, exported, HELLO, config or GenerationConfig(), owner)
        return vllm.stream(VllmModel(BASE, adapter), asked)

    return stream
