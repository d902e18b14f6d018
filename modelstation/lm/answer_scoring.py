"""How likely a small base model finds an answer after a few pairs that it was shown.

The pairs are read once and remembered (key-value cache), the questions follow as one batch. Two
hundred tokens of pairs and four short questions take about a third of a second on one core.

    python -c "from modelstation.lm.answer_scoring import load_scorer; \
        print(load_scorer().nats_per_token([('2+2', '4')], [('3+3', '6')]))"
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from modelstation.lm.embedding import encodable, has_fast_bfloat16
from modelstation.lm.loading import OFFLINE_BASE, base_folder, load_causal_lm, load_tokenizer

if TYPE_CHECKING:
    import torch

Pair = tuple[str, str]  # input and answer

MOST_TOKENS = 1024  # of the pairs shown: those that come last are kept
LONGEST_QUESTION = 384  # tokens: the end of an input stays, the beginning of an answer
REMEMBERED = 4096  # results, by content
END = "\n\n"


class AnswerScorer:
    """Build it with `load_scorer`, which keeps one per process."""

    def __init__(self, folder: Path) -> None:
        import torch

        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if has_fast_bfloat16(self._device) else torch.float32
        self._model = load_causal_lm(folder, dtype).eval().to(self._device)
        self._tokenizer = load_tokenizer(folder)
        self._known: OrderedDict[tuple[tuple[Pair, ...], tuple[Pair, ...]], list[float]] = (
            OrderedDict()
        )

    def nats_per_token(self, shown: Sequence[Pair], questions: Sequence[Pair]) -> list[float]:
        """Negative log-likelihood of each question's answer, and of its end, mean over its tokens,
        after the pairs `shown`.
        """
        key = (tuple(shown), tuple(questions))
        if key not in self._known:
            self._known[key] = self._scored(shown, questions) if questions else []
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return self._known[key]

    def _scored(self, shown: Sequence[Pair], questions: Sequence[Pair]) -> list[float]:
        import torch
        from transformers import DynamicCache

        before = self._ids("".join(f"{_prompt(i)} {a}{END}" for i, a in shown))[-MOST_TOKENS:]
        prefix = [self._tokenizer.eos_token_id, *before]
        prompts = [self._ids(_prompt(i))[-LONGEST_QUESTION:] for i, _ in questions]
        answers = [self._ids(f" {a}{END}")[:LONGEST_QUESTION] for _, a in questions]
        with torch.inference_mode():
            cache = DynamicCache()
            self._model(
                input_ids=torch.tensor([prefix], device=self._device),
                past_key_values=cache,
                logits_to_keep=1,
            )
            cache.batch_repeat_interleave(len(questions))
            rows = [p + a for p, a in zip(prompts, answers, strict=True)]
            longest = max(map(len, rows))
            ids = torch.zeros((len(rows), longest), dtype=torch.long)
            for place, row in enumerate(rows):
                ids[place, : len(row)] = torch.tensor(row)
            # Padding stands at the end, where causal attention never looks back from an answer.
            logits = self._model(input_ids=ids.to(self._device), past_key_values=cache).logits
            return [
                _mean_nats(logits[i], row, len(p))
                for i, (row, p) in enumerate(zip(rows, prompts, strict=True))
            ]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(encodable(text), add_special_tokens=False)
        return ids


def _prompt(text: str) -> str:
    return f"Input: {text.strip()}\nAnswer:"


def _mean_nats(logits: "torch.Tensor", row: Sequence[int], start: int) -> float:
    import torch

    wanted = torch.tensor(row[start:], device=logits.device)
    predicted = logits[start - 1 : len(row) - 1].float()
    return float(torch.nn.functional.cross_entropy(predicted, wanted))


@lru_cache(maxsize=1)
def load_scorer(models_dir: Path) -> AnswerScorer:
    return AnswerScorer(base_folder(models_dir, OFFLINE_BASE))
