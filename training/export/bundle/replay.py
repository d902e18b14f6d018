"""The held-out rows, answered greedily by transformers.

The reference is transformers on the merged safetensors, computed in float32 whatever they are
stored in: of all ways to run these weights the one with the least rounding of its own.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from modelstation.lm.chat import ChatRenderer, Message
from training.plan.estimate.measure import idle_cores

ROWS_AT_ONCE = 16


def by_transformers(
    model: Any,
    renderer: ChatRenderer,
    prompts: Sequence[list[Message]],
    *,
    max_tokens: int,
    on_done: Callable[[int], None],
) -> list[str]:
    """Answers in order. Prompts of about one length share a batch, padded on the left: what is
    masked weighs nothing, and in float32 the order of a sum is no matter.
    """
    import torch

    torch.set_num_threads(idle_cores())
    ids = [renderer.render_prompt(prompt) for prompt in prompts]
    answers = [""] * len(ids)
    done = 0
    for batch in _batches(ids):
        continued = _continued(model, renderer, [ids[row] for row in batch], max_tokens)
        for row, answer in zip(batch, continued, strict=True):
            answers[row] = renderer.decode(_until_stop(answer, renderer.stop_token_ids))
        done += len(batch)
        on_done(done)
    return answers


def _continued(
    model: Any, renderer: ChatRenderer, prompts: Sequence[list[int]], max_tokens: int
) -> list[list[int]]:
    """Continue each prompt greedily, after a stop too while others have none yet."""
    import torch

    length = max(len(prompt) for prompt in prompts)
    padding = [length - len(prompt) for prompt in prompts]
    pad = [renderer.pad_token_id]
    with torch.inference_mode():
        tokens = model.generate(
            input_ids=torch.tensor(
                [pad * n + ids for n, ids in zip(padding, prompts, strict=True)]
            ),
            attention_mask=torch.tensor([[0] * n + [1] * (length - n) for n in padding]),
            max_new_tokens=max_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=renderer.stop_token_ids,
            pad_token_id=renderer.pad_token_id,
        )
    continued: list[list[int]] = tokens[:, length:].tolist()
    return continued


def _batches(ids: Sequence[list[int]]) -> list[list[int]]:
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    return [order[at : at + ROWS_AT_ONCE] for at in range(0, len(order), ROWS_AT_ONCE)]


def _until_stop(answer: list[int], stops: Sequence[int]) -> list[int]:
    end = next((at for at, token in enumerate(answer) if token in stops), len(answer))
    return answer[:end]


def load_merged(folder: Path) -> Any:
    import torch

    from modelstation.lm.loading import load_causal_lm

    return load_causal_lm(folder, torch.float32).eval()


def load_adapted(base_folder: Path, adapter: Path) -> Any:
    """Return the base with the adapter beside it, as PEFT runs it: nothing is merged or rounded."""
    from peft import PeftModel

    return PeftModel.from_pretrained(load_merged(base_folder), str(adapter)).eval()
