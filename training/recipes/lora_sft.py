"""Supervised fine-tuning with LoRA: the whole recipe, its loop in plain sight.

    python -m training.trainer SPEC.json

Frozen base weights in bfloat16, adapters and AdamW in float32, the loss on the answer's tokens
only. Three things keep it quick on a CPU: rows of like length share a batch, the output head runs
at answer positions only, and the prompt that all rows open with goes through the trunk once per
batch. None of them changes the loss.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from safetensors import safe_open

from modelstation.lm.chat import load_renderer
from modelstation.lm.loading import load_causal_lm
from training.progress import ChildError
from training.recipes.config import RunFacts, TrainingConfig, resolve
from training.recipes.data import (
    Batch,
    TokenRow,
    collate,
    common_prefix,
    encode,
    plan_batches,
)
from training.recipes.machine import cpu_has_bf16
from training.recipes.rows import read_conversations

if TYPE_CHECKING:
    from peft import PeftModel

MIN_ROWS = 4
MAX_VALID_ROWS = 64
SMOOTHING_STEPS = 20

Adapter = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Prepared:
    """All that is settled before a weight is loaded."""

    config: TrainingConfig
    train: list[TokenRow]
    valid: list[TokenRow]
    prefix: int
    steps: list[list[int]]
    rows_left_out: int


@dataclass
class Outcome:
    """What the run did; the adapter itself stays in the model."""

    losses: list[float] = field(default_factory=list)
    valid_losses: dict[int, float] = field(default_factory=dict)
    train_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0

    def facts(self) -> dict[str, Any]:
        tail = self.losses[-SMOOTHING_STEPS:]
        return {
            "steps": len(self.losses),
            "train_tokens": self.train_tokens,
            "answer_tokens": self.answer_tokens,
            "final_loss": sum(tail) / len(tail),
            "best_valid_loss": min(self.valid_losses.values(), default=None),
            "valid_losses": self.valid_losses,
            "tokens_per_second": self.train_tokens / self.seconds,
            "seconds": self.seconds,
        }


def prepare(dataset: Path, base_folder: Path, config: TrainingConfig) -> Prepared:
    """Reads and encodes the rows, resolves the config, plans every step.

    Refuses before any weight is loaded.
    """
    renderer = load_renderer(base_folder)
    train, left_out = encode(
        read_conversations(dataset / "train.jsonl"), renderer, config.max_seq_len
    )
    if len(train) < MIN_ROWS:
        raise ChildError("not_enough_data", _too_few_rows(len(train), left_out, config.max_seq_len))
    valid_rows = read_conversations(dataset / "valid.jsonl")[:MAX_VALID_ROWS]
    valid, _ = encode(valid_rows, renderer, config.max_seq_len)
    prefix = common_prefix([*train, *valid])
    lengths = [len(row.inputs) - prefix for row in train]
    resolved = resolve(config, run_facts(lengths, base_folder))
    steps = plan_batches(
        lengths,
        tokens_per_batch=resolved.tokens_per_batch or 0,
        epochs=resolved.epochs or 0,
        max_steps=resolved.max_steps,
        seed=resolved.seed,
    )
    return Prepared(resolved, train, valid, prefix, steps, left_out)


def _too_few_rows(rows: int, left_out: int, max_seq_len: int) -> str:
    longer = f" ({left_out} more are longer than {max_seq_len} tokens)" if left_out else ""
    return (
        f"Not enough data: {rows} training rows{longer}, at least {MIN_ROWS} needed. Add examples."
    )


def run_facts(lengths: Sequence[int], base_folder: Path) -> RunFacts:
    has_cuda = torch.cuda.is_available()
    return RunFacts(
        rows=len(lengths),
        tokens=sum(lengths),
        longest_row=max(lengths),
        parameters=count_parameters(base_folder),
        context=_context(base_folder),
        has_cuda=has_cuda,
        has_bf16=torch.cuda.is_bf16_supported() if has_cuda else cpu_has_bf16(),
    )


def count_parameters(base_folder: Path) -> int:
    """Read from the headers of the weight files, not from the weights."""
    total = 0
    for path in base_folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as weights:
            total += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return total


def _context(base_folder: Path) -> int:
    from transformers import AutoConfig

    return int(
        AutoConfig.from_pretrained(base_folder, local_files_only=True).max_position_embeddings
    )


def setup_model(base_folder: Path, config: TrainingConfig) -> "PeftModel":
    """The frozen base with float32 LoRA adapters on every linear layer but the head."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(config.seed)
    base = load_causal_lm(base_folder, getattr(torch, config.dtype))
    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(base, lora).to(config.device)


def setup_optimizer(model: "PeftModel", config: TrainingConfig) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        trainable(model),
        lr=config.learning_rate or 0.0,
        weight_decay=config.weight_decay,
        fused=True,
    )


def trainable(model: "PeftModel") -> list[torch.nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def learning_rate_at(step: int, total: int, config: TrainingConfig) -> float:
    """Linear warm-up over the first share of the steps, then linear decay to `final_lr_ratio` at
    the last.
    """
    peak, warmup = config.learning_rate or 0.0, math.ceil(config.warmup_ratio * total)
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, total - 1 - warmup)
    return peak * (1 - (1 - config.final_lr_ratio) * done)


def answer_loss(model: "PeftModel", batch: Batch) -> torch.Tensor:
    """Mean negative log-likelihood of the answer tokens, a float32 scalar.

    The trunk reads the shared prefix once and each row's own tokens after it; the head, a fifth of
    a small model, is applied to the (A, hidden) states that predict an answer token and to no
    other.
    """
    causal_lm = model.get_base_model()
    cache = _prefix_cache(causal_lm, batch)
    hidden = causal_lm.model(
        batch.inputs, past_key_values=cache, use_cache=cache is not None
    ).last_hidden_state
    chosen = hidden.flatten(0, 1).index_select(0, batch.learnt_positions)
    return F.cross_entropy(causal_lm.lm_head(chosen).float(), batch.targets)


def _prefix_cache(causal_lm: Any, batch: Batch) -> Any:
    """Keys and values of the prefix, once computed and then lent to every row; gradients flow back
    through them.
    """
    if batch.prefix.numel() == 0:
        return None
    cache = causal_lm.model(batch.prefix.unsqueeze(0), use_cache=True).past_key_values
    cache.batch_repeat_interleave(batch.inputs.shape[0])
    return cache


def precision(config: TrainingConfig) -> AbstractContextManager[Any]:
    """Adapters are kept in float32 and multiplied in bfloat16, as the base is."""
    if config.dtype == "float32":
        return nullcontext()
    autocast: AbstractContextManager[Any] = torch.autocast(config.device, dtype=torch.bfloat16)
    return autocast


def train(model: "PeftModel", prepared: Prepared, report: Callable[..., None]) -> Outcome:
    """Runs every planned step and leaves the best adapter in the model.

    ChildError "diverged" on a loss of NaN.
    """
    config, total = prepared.config, len(prepared.steps)
    optimizer = setup_optimizer(model, config)
    valid = _valid_batches(prepared)
    outcome, best, started = Outcome(), _Best(), time.monotonic()
    model.train()
    for step, rows in enumerate(prepared.steps):
        batch = collate([prepared.train[i] for i in rows], prepared.prefix).to(config.device)
        rate = learning_rate_at(step, total, config)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with precision(config):
            loss = answer_loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable(model), config.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

        outcome.losses.append(_finite(loss.item(), step, config))
        outcome.train_tokens += batch.tokens
        outcome.answer_tokens += len(batch.targets)
        outcome.seconds = time.monotonic() - started
        if _is_eval_step(step, total, config) and valid:
            outcome.valid_losses[step + 1] = best.keep(evaluate(model, valid, config), model)
        report("train", **_step_facts(outcome, total, rate))
    best.restore(model)
    outcome.seconds = time.monotonic() - started
    return outcome


class _Best:
    """The adapter with the lowest validation loss so far, held in memory: it is a few per cent of
    the model.
    """

    def __init__(self) -> None:
        self.loss = math.inf
        self.adapter: Adapter = {}

    def keep(self, loss: float, model: "PeftModel") -> float:
        if loss < self.loss:
            self.loss = loss
            self.adapter = {
                n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad
            }
        return loss

    def restore(self, model: "PeftModel") -> None:
        model.load_state_dict(self.adapter, strict=False)


def evaluate(model: "PeftModel", batches: Sequence[Batch], config: TrainingConfig) -> float:
    """Mean loss per answer token over the validation rows."""
    model.eval()
    with torch.no_grad(), precision(config):
        losses = [answer_loss(model, batch).item() * len(batch.targets) for batch in batches]
    model.train()
    return float(sum(losses) / sum(len(batch.targets) for batch in batches))


def _valid_batches(prepared: Prepared) -> list[Batch]:
    rows, config = prepared.valid, prepared.config
    if not rows or not config.eval_every:
        return []
    lengths = [len(row.inputs) - prepared.prefix for row in rows]
    budget = max(config.tokens_per_batch or 0, *lengths)
    plan = plan_batches(lengths, tokens_per_batch=budget, epochs=1, max_steps=None, seed=0)
    return [collate([rows[i] for i in batch], prepared.prefix).to(config.device) for batch in plan]


def _is_eval_step(step: int, total: int, config: TrainingConfig) -> bool:
    return step + 1 == total or (
        bool(config.eval_every) and (step + 1) % (config.eval_every or 1) == 0
    )


def _finite(loss: float, step: int, config: TrainingConfig) -> float:
    rate = config.learning_rate or 0.0
    if not math.isfinite(loss):
        raise ChildError(
            "diverged",
            f"Training diverged at step {step + 1}: the loss is no longer a number. Try a lower "
            f"learning_rate ({rate:g} was used, try {rate / 4:.2g}) or dtype float32.",
        )
    return loss


def _step_facts(outcome: Outcome, total: int, rate: float) -> dict[str, Any]:
    done, tail = len(outcome.losses), outcome.losses[-SMOOTHING_STEPS:]
    facts = {
        "step": done,
        "total_steps": total,
        "loss": sum(tail) / len(tail),
        "learning_rate": rate,
        "tokens_per_second": outcome.train_tokens / outcome.seconds,
        "eta_seconds": outcome.seconds / done * (total - done),
    }
    valid = outcome.valid_losses.get(done)
    return facts if valid is None else {**facts, "valid_loss": valid}
