"""Likelihoods of answers after shown pairs, on a tiny model."""

import pytest
import torch

from modelstation.lm import answer_scoring
from modelstation.lm.answer_scoring import AnswerScorer, load_scorer
from modelstation.lm.loading import load_causal_lm, load_tokenizer
from modelstation.lm.testing import make_tiny_llama

SHOWN = [("translate the question", "with one word"), ("rewrite a number", "true false")]
QUESTIONS = [("answer this sentence", "with one word"), ("extract", "null"), ("a", "yes no yes no")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = make_tiny_llama(tmp_path / "base")
    monkeypatch.setattr(answer_scoring, "base_folder", lambda models_dir, name: folder)
    answer_scoring._REMEMBERED.clear()
    return folder


def alone(folder, shown, question):
    """Compute the same from the whole text in one pass."""
    model = load_causal_lm(folder, torch.float32).eval()
    tokenizer = load_tokenizer(folder)
    before = "".join(f"Input: {text}\nAnswer: {answer}\n\n" for text, answer in shown)
    texts = (before, f"Input: {question[0]}\nAnswer:", f" {question[1]}\n\n")
    parts = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    ids = [tokenizer.eos_token_id, *parts[0], *parts[1], *parts[2]]
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0].float()
    start = len(ids) - len(parts[2])
    return float(
        torch.nn.functional.cross_entropy(logits[start - 1 : -1], torch.tensor(ids[start:]))
    )


@pytest.mark.parametrize("shown", [[], SHOWN])
def test_a_batch_of_questions_scores_as_each_does_alone(folder, tmp_path, shown):
    scores = AnswerScorer(tmp_path).nats_per_token(shown, QUESTIONS)
    expected = [alone(folder, shown, question) for question in QUESTIONS]
    assert scores == pytest.approx(expected, abs=0.05)  # bfloat16 where the processor has it


def test_the_same_question_is_computed_once(folder, tmp_path, monkeypatch):
    first = AnswerScorer(tmp_path).nats_per_token(SHOWN, QUESTIONS)
    monkeypatch.setattr(AnswerScorer, "_scored", None)
    assert AnswerScorer(tmp_path).nats_per_token(SHOWN, QUESTIONS) == first


def test_pairs_and_inputs_beyond_the_context_are_cut(folder, tmp_path):
    long = ("sentence " * 3000, "number " * 3000)
    [score] = AnswerScorer(tmp_path).nats_per_token([long], [long])
    assert score > 0


def test_an_installation_without_the_base_has_no_scorer(tmp_path):
    assert load_scorer(tmp_path) is None
