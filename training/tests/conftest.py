import shutil

import openai
import pytest

from modelstation import testing


@pytest.fixture(scope="session")
def tiny_bases(tiny_llama, tmp_path_factory):
    """A models folder that holds the tiny llama under the name of a base."""
    from modelstation.lm.gguf_export import export_gguf

    folder = tmp_path_factory.mktemp("bases")
    shutil.copytree(tiny_llama, folder / "tiny")
    export_gguf(folder / "tiny", folder / "tiny" / "model-q8_0.gguf")
    return folder


@pytest.fixture
def tiny(settings, tiny_bases, artifacts_dir, uploads_dir):
    settings.MODELS_DIR = tiny_bases
    return testing.make_base("tiny")


@pytest.fixture
def sdk_for(live_server):
    """`sdk_for(user, org)`: OpenAI's own client, with a token of that user."""

    from accounts.services import create_token

    def make(user, org):
        _, secret = create_token(actor=user, org=org, name="sdk")
        return openai.OpenAI(base_url=f"{live_server.url}/v1", api_key=secret, max_retries=0)

    return make


@pytest.fixture
def sdk(sdk_for, alice, org):
    with sdk_for(alice, org) as client:
        yield client
