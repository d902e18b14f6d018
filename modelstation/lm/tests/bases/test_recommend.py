"""Which base is recommended, and the reason that is given."""

import pytest

from modelstation.lm.bases.catalog import BASES
from modelstation.lm.bases.recommend import PREFERENCES, Machine, recommend

SMALL, CODER = "smollm2-135m-instruct", "qwen2.5-coder-1.5b-instruct"
LAPTOP = Machine(memory_bytes=16 * 10**9, cores=2)
SERVER = Machine(memory_bytes=64 * 10**9, cores=16, gpu_memory_bytes=80 * 10**9)


def advice(kind="classify", *, rows=1000, machine=SERVER, installed=(SMALL,), **limits):
    return recommend(kind, rows=rows, machine=machine, installed=installed, **limits)


def test_every_preferred_base_is_in_the_catalogue_and_small_ones_end_each_list():
    for names in PREFERENCES.values():
        assert set(names) <= BASES.keys()
        assert any(name.startswith("smollm2") for name in names)


def test_labels_go_to_a_small_base_and_queries_to_one_that_has_read_code():
    assert advice("classify").base.name == SMALL
    assert advice("sql").base.name == CODER
    assert "read code" in advice("sql").reason


def test_the_size_limit_passes_over_what_is_larger_and_says_so():
    result = advice("sql", max_served_mb=600)
    assert result.base.gguf_bytes <= 600e6
    assert "more than 600" in result.reason


def test_a_machine_without_a_gpu_passes_over_what_trains_for_hours():
    result = advice("sql", machine=LAPTOP, rows=5000)
    assert result.base.parameters < BASES[CODER].parameters
    assert "hours on 2 cores" in result.reason


def test_too_little_memory_passes_over_what_does_not_fit():
    result = advice("generate", machine=Machine(memory_bytes=4 * 10**9, cores=64), rows=100)
    assert result.base.parameters < 10**9
    assert "GB to train" in result.reason


@pytest.mark.parametrize("kind", PREFERENCES)
def test_other_languages_than_english_go_to_a_base_that_knows_them(kind):
    assert advice(kind, language="de").base.is_multilingual


def test_what_is_not_here_is_said_with_the_best_that_is():
    result = advice("sql", installed={SMALL, "qwen2.5-coder-0.5b-instruct"})
    assert not result.is_installed
    assert result.installed.name == "qwen2.5-coder-0.5b-instruct"
    assert advice("sql", installed={CODER}).is_installed
    assert advice("sql", installed=set()).installed is None


def test_where_nothing_fits_the_smallest_is_named_with_what_is_against_it():
    result = advice("classify", max_served_mb=1)
    assert result.base.name == SMALL
    assert "even this one takes" in result.reason
