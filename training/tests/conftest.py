import shutil

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
