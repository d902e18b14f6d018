import numpy as np
import pytest

from modelstation.lm.embedding import (
    batches_by_length,
    load_embedder,
    padded_means,
    weights_folder,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def embedder():
    return load_embedder()


def test_vectors_have_length_one_and_keep_the_order_of_the_texts(embedder):
    texts = ["Where is my parcel? " * 9, "hi", "The invoice is wrong and I want my money back."]
    together = embedder.embed(texts)
    alone = np.vstack([embedder.embed([text]) for text in texts])
    assert together.shape == (3, 384)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert (np.sum(together * alone, axis=1) > 0.999).all()


def test_a_question_is_nearer_to_its_paraphrase_than_to_another_question(embedder):
    question, paraphrase, other = embedder.embed(
        ["How do I reset my password?", "I forgot my login, help me", "Bake bread at 220 degrees"]
    )
    assert question @ paraphrase > question @ other + 0.2


def test_the_vectors_are_those_of_sentence_transformers(embedder):
    from sentence_transformers import SentenceTransformer

    texts = ["What is my balance?", "SELECT name FROM staff", "Ünïcode, 漢字 and 🙂", "x " * 900]
    plain = SentenceTransformer(str(weights_folder()), device="cpu").encode(texts)
    assert (np.sum(embedder.embed(texts) * plain, axis=1) > 0.998).all()


@pytest.mark.long
def test_a_text_has_nearly_the_same_vector_alone_and_in_any_batch(embedder):
    texts = [f"ticket {n}: " + "my screen is black " * (n % 7) for n in range(60)]
    together, turned = embedder.embed(texts), embedder.embed(texts[::-1])[::-1]
    alone = np.vstack([embedder.embed([text]) for text in texts])
    assert (np.sum(together * turned, axis=1) > 0.9999).all()
    assert (np.sum(together * alone, axis=1) > 0.9995).all()


def test_packed_texts_give_what_the_padded_model_gives():
    import torch
    from transformers import AutoModel

    from modelstation.lm.packed_bert import load_packed_bert

    own = load_packed_bert(weights_folder(), torch.float32)
    model = AutoModel.from_pretrained(weights_folder(), dtype=torch.float32).eval()
    token_ids = [list(range(2000, 2000 + length)) for length in (3, 3, 5, 5, 5, 40, 256)]
    with torch.inference_mode():
        packed, padded = own(token_ids), padded_means(model)(token_ids)
    np.testing.assert_allclose(packed.numpy(), padded.numpy(), atol=1e-5)


def test_tokens_are_counted_over_the_whole_text(embedder):
    one, many, none = embedder.count_tokens(["hello", "hello " * 1000, ""])
    assert (one, many, none) == (1, 1000, 0)


def test_no_text_gives_no_vectors_and_odd_texts_still_give_one_each(embedder):
    assert embedder.embed([]).shape == (0, 384)
    odd = embedder.embed(["", "\ud83d half an emoji", "a" * 300_000, "\x00"])
    assert np.isfinite(odd).all()
    assert len(odd) == 4


def test_progress_adds_up_to_the_number_of_texts(embedder):
    done = []
    embedder.embed([f"row {n} " * (n % 50) for n in range(200)], on_batch=done.append)
    assert sum(done) == 200
    assert len(done) > 1


def test_batches_stay_under_the_token_budget_and_hold_every_row_once():
    lengths = [5, 900, 3, 40, 40, 7, 2]
    batches = list(batches_by_length(lengths, 100))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(
        len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= 100 for batch in batches
    )
