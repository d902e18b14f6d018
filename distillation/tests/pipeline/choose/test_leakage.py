import numpy as np
import pytest

from distillation.pipeline.choose.leakage import (
    CONTAINED,
    PARAPHRASE,
    SAME_MEANING,
    SAME_TEXT,
    LeakageIndex,
    rolling_hashes,
    weighted_overlaps,
)
from distillation.pipeline.types import Example
from distillation.tests.pipeline.rows import WordsEmbedder, candidate

HELD_OUT = (
    "Why was I charged an extra fee when I paid by card in the shop yesterday?",
    "The waiter at the harbour brought us the wrong lobster, and nobody said sorry.",
    "How long does a parcel to Reykjavik take in winter?",
)
LONG = " ".join(f"word{i}" for i in range(40))


def signs(*texts, held_out=HELD_OUT):
    index = LeakageIndex([Example(t, "a") for t in held_out], WordsEmbedder().embed(held_out))
    return index.signs([candidate(text, "other answer") for text in texts])


def test_each_sign_is_named():
    assert signs(
        HELD_OUT[0].upper(),
        f"Hello there. {HELD_OUT[2]} I am asking because my aunt lives there.",
        "The waiter at the harbor brought us a wrong lobster and nobody said sorry!",
        "winter in take Reykjavik to parcel a does long How",
        "Why was the lobster in the shop yesterday so long in winter?",
    ) == [SAME_TEXT, CONTAINED, PARAPHRASE, SAME_MEANING, ""]


def test_half_of_a_long_texts_runs_make_it_contained_and_fewer_do_not():
    words = LONG.split()
    assert signs(" ".join(words[:30]), " ".join(words[:18]), held_out=(LONG,)) == [CONTAINED, ""]


def test_a_very_short_held_out_text_is_not_met_by_chance():
    assert signs("ok then, I will wait for it", held_out=("ok then",)) == [""]


def test_a_rare_run_counts_more_than_a_common_one():
    # Runs of four letters: "aaaa" is in three texts of four, "bbbb" and "cccc" in one or two.
    texts, others = ["aaaa", "bbbb"], ["aaaa", "bbbb aaaa"]
    [(start, overlaps)] = weighted_overlaps(texts, others)
    assert start == 0
    assert overlaps[0] == pytest.approx([1.0, overlaps[0, 1]])
    # "bbbb aaaa" holds both words and four runs across them that no other text has.
    rare = np.log(5 / 1.5)  # of N = 4 texts
    common, shared = np.log(5 / 3.5), np.log(5 / 2.5)
    assert overlaps[0, 1] == pytest.approx(common / (common + shared + 4 * rare), rel=1e-5)
    assert overlaps[1, 1] == pytest.approx(shared / (common + shared + 4 * rare), rel=1e-5)


def test_runs_never_go_from_one_text_into_the_next():
    items = np.array([1, 2, 3, 1, 2], dtype=np.uint64)
    hashes, owners = rolling_hashes(items, [3, 2], 2)
    assert owners.tolist() == [0, 0, 1]
    assert hashes[0] == hashes[2] != hashes[1]


def test_nothing_leaks_where_nothing_is_held_out():
    index = LeakageIndex([], np.zeros((0, 384), dtype=np.float32))
    assert index.leaks([candidate("a", "b")]) == [False]
    assert LeakageIndex([Example("a", "b")], np.zeros((1, 384), np.float32)).leaks([]) == []
