"""How likely a small base model finds an answer after a few pairs that it was shown.

The pairs are read once (key-value cache), the questions follow as one batch. Two hundred tokens of
pairs and four short questions take about a third of a second on one idle core.

    python -c "from pathlib import Path; from modelstation.lm.answer_scoring import AnswerScorer; \
        print(AnswerScorer(Path('var/models')).nats_per_token([('2+2', '4')], [('3+3', '6')]))"
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelstation.lm.embedding import encodable, has_fast_bfloat16
from modelstation.lm.loading import OFFLINE_BASE, base_folder, load_causal_lm, load_tokenizer

if TYPE_CHECKING:
    import torch

Pair = tuple[str, str]  # input and answer

MOST_TOKENS = 1024  # of the pairs shown: those that come last are kept
LONGEST_QUESTION = 384  # tokens: the end of an input stays, the beginning of an answer
END = "\n\n"

MOST_REMEMBERED = 20_000
# By what was shown and requested: a process meets the same source and examples again and again.
_REMEMBERED: OrderedDict[bytes, list[float]] = OrderedDict()


class AnswerScorer:
    """Reads its weights (270 MB) when it is first asked, and gives them back with itself."""

    def __init__(self, models_dir: Path, base: str = OFFLINE_BASE) -> None:
        """Raise ValueError, saying what to do, where the base is not on this machine."""
        self._folder = base_folder(models_dir, base)
        self._loaded: tuple[Any, Any] | None = None

    def nats_per_token(self, shown: Sequence[Pair], questions: Sequence[Pair]) -> list[float]:
        """Negative log-likelihood of each question's answer, and of its end, mean over its tokens,
        after the pairs `shown`.
        """
        if not questions:
            return []
        content = json.dumps([str(self._folder), list(shown), list(questions)])
        key = hashlib.sha256(content.encode("utf-8", "replace")).digest()
        if key not in _REMEMBERED:
            _REMEMBERED[key] = self._scored(shown, questions)
            if len(_REMEMBERED) > MOST_REMEMBERED:
                _REMEMBERED.popitem(last=False)
        return _REMEMBERED[key]

    def _scored(self, shown: Sequence[Pair], questions: Sequence[Pair]) -> list[float]:
        import torch
        from transformers import DynamicCache

        model, tokenizer = self._load()
        before = self._ids("".join(f"{_prompt(i)} {a}{END}" for i, a in shown))[-MOST_TOKENS:]
        prefix = [tokenizer.eos_token_id, *before]
        prompts = [self._ids(_prompt(i))[-LONGEST_QUESTION:] for i, _ in questions]
        answers = [self._ids(f" {a}{END}")[:LONGEST_QUESTION] for _, a in questions]
        rows = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        # Padding stands at the end, where causal attention never looks back from an answer.
        ids = torch.zeros((len(rows), max(map(len, rows))), dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
        with torch.inference_mode():
            cache = DynamicCache()
            begun = torch.tensor([prefix], device=model.device)
            model(input_ids=begun, past_key_values=cache, logits_to_keep=1)
            cache.batch_repeat_interleave(len(questions))
            logits = model(input_ids=ids.to(model.device), past_key_values=cache).logits
            return [
                _mean_nats(logits[place], row, len(prompt))
                for place, (row, prompt) in enumerate(zip(rows, prompts, strict=True))
            ]

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            import torch

            device = "cuda" if torch.cuda.is_available() else "cpu"
            dtype = torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
            model = load_causal_lm(self._folder, dtype).eval()
            self._loaded = (model.to(torch.device(device)), load_tokenizer(self._folder))
        return self._loaded

    def _ids(self, text: str) -> list[int]:
        _, tokenizer = self._load()
        ids: list[int] = tokenizer.encode(encodable(text), add_special_tokens=False)
        return ids


def _prompt(text: str) -> str:
    return f"Input: {text.strip()}\nAnswer:"


def _mean_nats(logits: "torch.Tensor", row: Sequence[int], start: int) -> float:
    import torch

    wanted = torch.tensor(row[start:], device=logits.device)
    predicted = logits[start - 1 : len(row) - 1].float()
    return float(torch.nn.functional.cross_entropy(predicted, wanted))


def load_scorer(models_dir: Path) -> AnswerScorer | None:
    """Return None where the base that every installation comes with was taken away."""
    try:
        return AnswerScorer(models_dir)
    except ValueError:
        return None
