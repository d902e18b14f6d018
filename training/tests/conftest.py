import pytest

from modelstation import testing


@pytest.fixture
def tiny(settings, tiny_bases, artifacts_dir, uploads_dir):
    settings.MODELS_DIR = tiny_bases
    return testing.make_base("tiny")
