"""A tiny llama and a dataset."""

import pytest

from modelstation.lm.testing import make_tiny_llama
from training.tests.recipes.tiny import (
    write_dataset,
)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return make_tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "dataset")
