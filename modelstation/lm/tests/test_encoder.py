import numpy as np
import pytest

from modelstation.lm.encoder.bert import Bert, gelu
from modelstation.lm.encoder.head import Head, HeadSettings, last_question
from modelstation.lm.encoder.ngrams import hashed, ngrams, tf_idf

SETTINGS = HeadSettings(("no", "yes"), 2.0, {"ngrams": 1.0}, {})


def head(**weights):
    """Return a head that knows these words, each with its logits of no and yes."""
    known = {next(iter(hashed(word))): logits for word, logits in weights.items()}
    return Head(
        SETTINGS,
        {
            "ngrams.hashes": np.array(sorted(known), np.uint32),
            "ngrams.idf": np.ones(len(known), np.float32),
            "ngrams.weight": np.array([known[key] for key in sorted(known)], np.float16),
            "ngrams.bias": np.zeros(2, np.float32),
        },
    )


def test_ngrams_are_words_neighbours_and_pieces():
    assert list(ngrams("No tap!")) == [
        "no", "tap", "no tap", "<n", "no", "o>", "<no", "no>", "<no>", "<t", "ta", "ap", "p>",
        "<ta", "tap", "ap>", "<tap", "tap>", "<tap>",
    ]  # fmt: skip


def test_tf_idf_is_that_of_the_formula():
    once, twice = (next(iter(hashed(word))) for word in ("a", "b"))
    known = np.array(sorted([once, twice]), np.uint32)
    idf = np.array([2.0, 3.0], np.float32)
    places, values = tf_idf("a b b", known, idf)
    by_place = dict(zip(known[places].tolist(), values.tolist(), strict=True))
    weights = {once: 1.0, twice: 1 + np.log(2)}
    raw = {key: weights[key] * idf[known.tolist().index(key)] for key in (once, twice)}
    length = np.hypot(*raw.values())
    assert by_place == pytest.approx({key: value / length for key, value in raw.items()}, rel=1e-5)


def test_a_text_of_unknown_words_has_an_empty_vector():
    for text in ("", "   ", "漢字 🙂", "\ud800"):
        assert not len(tf_idf(text, np.array([5], np.uint32), np.ones(1, np.float32))[0])
    assert not len(tf_idf("a", np.array([], np.uint32), np.ones(0, np.float32))[0])


def test_a_saved_head_answers_as_before_with_the_temperature(tmp_path):
    before = head(tap=(0, 4))
    before.save(tmp_path)
    after = Head.load(tmp_path)
    assert after.settings == SETTINGS
    sure = after.probabilities("tap", {})
    assert sure == pytest.approx(before.probabilities("tap", {}))
    assert sure[1] == pytest.approx(1 / (1 + np.exp(-4 / 2)), rel=1e-3)
    assert after.probabilities("nothing known", {}) == pytest.approx([0.5, 0.5])


def test_a_broken_head_is_refused_in_a_sentence(tmp_path):
    head(tap=(0, 4)).save(tmp_path)
    (tmp_path / "head.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(ValueError, match="holds no encoder head"):
        Head.load(tmp_path)


def test_the_last_user_message_is_what_is_read():
    turns = [("system", "s"), ("user", "first"), ("assistant", "a"), ("user", "second")]
    messages = [{"role": role, "content": text} for role, text in turns]
    assert last_question(messages) == "second"
    assert last_question(messages[:1]) == ""


def test_gelu_is_that_of_torch():
    import torch

    values = np.linspace(-6, 6, 101, dtype=np.float32)
    wanted = torch.nn.functional.gelu(torch.tensor(values)).numpy()
    np.testing.assert_allclose(gelu(values), wanted, atol=1e-6)


@pytest.mark.slow
def test_the_vectors_are_those_of_the_embedder():
    from modelstation.lm.embedding import load_embedder, weights_folder

    texts = ["Where is my card?", "Ünïcode, 漢字 and 🙂", "word " * 400, "", "\ud800"]
    ours = Bert(weights_folder()).embed(texts)
    assert (np.sum(ours * load_embedder().embed(texts), axis=1) > 0.999).all()
