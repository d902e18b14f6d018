"""Every quantisation of the table can be written, and says about how large its file is."""

import pytest
from gguf.constants import GGMLQuantizationType, LlamaFileType

from modelstation.lm.gguf.check import read_facts
from modelstation.lm.gguf.export import export_gguf, gguf_bytes
from modelstation.lm.gguf.quantisations import QUANTISATIONS, SERVED
from modelstation.lm.testing import make_tiny_qwen

ALL = pytest.mark.parametrize("quantisation", QUANTISATIONS.values(), ids=QUANTISATIONS)


@ALL
def test_the_libraries_know_its_types(quantisation):
    assert quantisation.tensor_type in GGMLQuantizationType.__members__
    assert quantisation.file_type in LlamaFileType.__members__
    assert quantisation.delicate_tensor_type in {"", *GGMLQuantizationType.__members__}


@ALL
def test_it_is_written_with_the_types_that_it_names(quantisation, tmp_path):
    folder, file = make_tiny_qwen(tmp_path / "model", "qwen3"), tmp_path / quantisation.file_name
    export_gguf(folder, file, quantisation=quantisation.name)
    assert read_facts(file).tensor_types
    assert gguf_bytes(folder, quantisation) < file.stat().st_size


def test_what_is_served_is_offered_too():
    assert SERVED.is_offered
    assert SERVED.file_name == "model-q8_0.gguf"
