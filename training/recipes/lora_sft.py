"""Supervised fine-tuning: the whole recipe, its loop in plain sight.

    python -m training.runs.child SPEC.json

The loss is on the answer's tokens only. With LoRA (on every linear layer but the head) and DoRA the
base's weights are frozen in bfloat16, adapters and AdamW are float32; full tuning keeps float32
weights and multiplies in bfloat16. Rows are packed without padding (packing.py), a prompt that
rows share is read once per batch, the head runs at answer positions only, and the small operations
are fused (kernels.py). None of that changes the loss.

A run may be interrupted at any step and goes on from its checkpoint with the very same losses.
Where there are several GPUs each has a process, which takes its share of a step's micro-batches.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from modelstation.lm.loading import load_causal_lm
from training.plan.estimate.measure import peak_memory_bytes
from training.progress import Checkpoint, ChildError, Figures, Log, Message, Progress, Stopped
from training.recipes import checkpoints
from training.recipes.batches import micro_batches, plan_batches
from training.recipes.checkpoints import State, Weights
from training.recipes.config import TrainingConfig
from training.recipes.data import Batch, collate
from training.recipes.facts import TrainingFacts
from training.recipes.kernels import AnswerLoss, install
from training.recipes.parallel import Processes
from training.recipes.preparing import Prepared
from training.recipes.rows import TokenRow

SMOOTHING_STEPS = 20
CHECKPOINT_SECONDS = 60.0
CHECKPOINT_SHARE = 0.05  # of the time, at most, goes into writing checkpoints


@dataclass
class Outcome:
    """What the run did; the weights themselves stay in the model."""

    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    valid_losses: dict[int, float] = field(default_factory=dict)
    valid_accuracies: dict[int, float] = field(default_factory=dict)
    train_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0  # of training, over all attempts
    ended_by: str = "all_steps"  # early_stop, max_minutes, max_tokens
    resumed_from: int = 0

    def facts(self, *, base_name: str = "", device: str = "") -> TrainingFacts:
        tail = self.losses[-SMOOTHING_STEPS:]
        best = min(self.valid_losses, key=self.valid_losses.__getitem__, default=len(self.losses))
        return TrainingFacts(
            steps=len(self.losses),
            train_tokens=self.train_tokens,
            answer_tokens=self.answer_tokens,
            final_loss=sum(tail) / len(tail),
            best_step=best,
            best_valid_loss=self.valid_losses.get(best),
            valid_losses=self.valid_losses,
            tokens_per_second=self.train_tokens / self.seconds,
            seconds=self.seconds,
            ended_by=self.ended_by,
            resumed_from=self.resumed_from,
            peak_memory_bytes=peak_memory_bytes(),
            base_name=base_name,
            device=device,
        )


def setup_model(base_folder: Path, config: TrainingConfig) -> torch.nn.Module:
    """Load the base, its adapters where the method has some, with the quick forward installed."""
    torch.manual_seed(config.seed)
    if config.method == "full":
        causal_lm = load_causal_lm(base_folder, torch.float32).to(config.device)
        install(causal_lm)
        return causal_lm
    base = load_causal_lm(base_folder, getattr(torch, config.dtype))
    model = _with_adapters(base, config).to(config.device)
    install(model.get_base_model())
    return model


def _with_adapters(base: Any, config: TrainingConfig) -> Any:
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(
        r=config.lora_rank or 0,
        lora_alpha=config.lora_alpha,
        lora_dropout=0.0,
        target_modules="all-linear",
        use_dora=config.method == "dora",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(base, lora)


def trainable(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def learning_rate_at(step: int, total: int, config: TrainingConfig) -> float:
    """Warm up in a line over the first steps, then fall in a line to `final_lr_ratio`."""
    peak, warmup = config.learning_rate or 0.0, math.ceil(config.warmup_ratio * total)
    if step < warmup:
        return peak * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, total - 1 - warmup))
    return peak * (1 - (1 - config.final_lr_ratio) * done)


def answer_loss_and_hits(model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean negative log-likelihood of the answer tokens, a float32 scalar, and how many
    of them the model would have given first.

    The head, a fifth of a small model, is applied to the (A, hidden) states that predict an answer
    token and to no other.
    """
    causal_lm: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = causal_lm.model(
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        packing=batch.packing,
        use_cache=False,
    ).last_hidden_state[0]
    chosen = hidden.index_select(0, batch.learnt_positions)
    head = causal_lm.lm_head.weight
    if torch.is_autocast_enabled(chosen.device.type):
        chosen, head = chosen.bfloat16(), head.bfloat16()
    loss, hits = AnswerLoss.apply(chosen, head, batch.targets)
    return loss, hits


def precision(config: TrainingConfig) -> AbstractContextManager[Any]:
    """Multiply float32 weights in bfloat16; LoRA's own kernel casts for itself."""
    if config.dtype == "float32" or config.method == "lora":
        return nullcontext()
    autocast: AbstractContextManager[Any] = torch.autocast(config.device, dtype=torch.bfloat16)
    return autocast


def train(
    model: torch.nn.Module,
    prepared: Prepared,
    emit: Callable[[Message], object],
    *,
    checkpoints_dir: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Run the planned steps and leave the best weights in the model.

    Goes on from the newest checkpoint in `checkpoints_dir`. ChildError "diverged" on a loss that is
    no number; Stopped, with a checkpoint, when `should_stop` says so.
    """
    config, processes = prepared.config, Processes()
    run = _Run(model, prepared, checkpoints_dir, emit, processes)
    run.resume()
    model.train()
    while run.step < len(prepared.steps) and not processes.any(run.is_over()):
        rate = run.learning_rate()
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        rows = prepared.steps[run.step]
        loss, accuracy = _gradients(model, prepared, rows, processes, run.outcome)
        _finite(loss, run.step, config)
        torch.nn.utils.clip_grad_norm_(trainable(model), config.max_grad_norm)
        run.optimizer.step()
        run.optimizer.zero_grad(set_to_none=True)
        run.after_step(loss, accuracy, rate)
        if processes.any(should_stop()):
            run.checkpoint()
            raise Stopped
    run.finish()
    return run.outcome


def _gradients(
    model: torch.nn.Module,
    prepared: Prepared,
    rows: Sequence[int],
    processes: Processes,
    outcome: Outcome,
) -> tuple[float, float]:
    """Add up the gradients of one step's mean answer loss, over micro-batches and processes.

    Return that loss, and the share of answer tokens that the model would have given first.
    """
    config = prepared.config
    answers = sum(prepared.train[i].answer_tokens for i in rows)
    turns = micro_batches(rows, prepared.lengths, config.micro_batch_tokens or 1 << 20)
    total, right = 0.0, 0
    for turn in processes.share(turns):
        chosen = [prepared.train[i] for i in turn]
        batch = collate(chosen, share=config.device == "cpu").to(config.device)
        with precision(config):
            mean, hits = answer_loss_and_hits(model, batch)
            loss = mean * (len(batch.targets) / answers)
        loss.backward()
        total += loss.item()
        right += int(hits)
    outcome.train_tokens += sum(len(prepared.train[i].inputs) for i in rows)
    outcome.answer_tokens += answers
    loss_of_step, accuracy = processes.add_up([total, right / answers], trainable(model))
    return loss_of_step, accuracy


class _Run:
    """A run between two steps: all that a checkpoint holds, and when to evaluate, save or end."""

    def __init__(
        self,
        model: torch.nn.Module,
        prepared: Prepared,
        folder: Path | None,
        emit: Callable[[Message], object],
        processes: Processes,
    ) -> None:
        self.model, self.prepared, self.folder = model, prepared, folder
        self.emit, self.processes = emit, processes
        self.config = prepared.config
        rate, decay = self.config.learning_rate or 0.0, self.config.weight_decay
        self.optimizer = torch.optim.AdamW(
            trainable(model), lr=rate, weight_decay=decay, fused=True
        )
        is_validated = prepared.valid and self.config.eval_every
        self.valid = batches_of(prepared.valid, self.config) if is_validated else []
        self.outcome = Outcome()
        self.best: Weights = {}
        self.best_loss = math.inf
        self.misses = 0  # evaluations since the best one
        self.saved_at = self.began = time.monotonic()
        self.saving_took = 0.0

    @property
    def step(self) -> int:
        return len(self.outcome.losses)

    def learning_rate(self) -> float:
        """Return the rate of the next step. The schedule ends with the plan, or where the minutes
        will, at the speed so far.
        """
        total, most = len(self.prepared.steps), self.config.max_minutes
        if most and self.step:
            total = min(total, int(most * 60 / (self.outcome.seconds / self.step)) + 1)
        return learning_rate_at(self.step, total, self.config)

    def is_over(self) -> bool:
        most = self.config.max_minutes
        if most and self.step and self.outcome.seconds >= most * 60:
            self.outcome.ended_by = "max_minutes"
        elif self.config.patience and self.misses >= self.config.patience:
            self.outcome.ended_by = "early_stop"
        return self.outcome.ended_by != "all_steps"

    def after_step(self, loss: float, accuracy: float, rate: float) -> None:
        self.outcome.losses.append(loss)
        self.outcome.accuracies.append(accuracy)
        now = time.monotonic()
        self.outcome.seconds += self.processes.mean(now - self.began)  # one clock for all
        self.began = now
        every, total = self.config.eval_every, len(self.prepared.steps)
        if self.step == total or (every and self.step % every == 0):
            self._evaluate()
        if self._is_checkpoint_due():
            self.checkpoint()
        self.emit(Progress("train", self.step, total, self._figures(rate)))

    def finish(self) -> None:
        if self.step and self.step not in self.outcome.valid_losses:
            self._evaluate()  # ended early: the last steps may be the best
        if self.config.checkpoint_every and self.step < len(self.prepared.steps):
            self.checkpoint()  # ended early: the last one, as after the last step
        if self.outcome.ended_by == "all_steps" and self.prepared.is_cut:
            self.outcome.ended_by = "max_tokens"
        if self.best:
            self.model.load_state_dict(self.best, strict=False)

    def _evaluate(self) -> None:
        if not self.valid:
            return
        loss, accuracy = measure(self.model, self.valid, self.config)
        self.outcome.valid_losses[self.step] = loss
        self.outcome.valid_accuracies[self.step] = accuracy
        self.misses += 1
        if loss < self.best_loss:
            self.best_loss, self.misses = loss, 0
            self.best = {name: p.clone() for name, p in self._weights().items()}

    def _weights(self) -> Weights:
        named = self.model.named_parameters()
        return {name: p.detach() for name, p in named if p.requires_grad}

    def _is_checkpoint_due(self) -> bool:
        """Every so many steps, and every minute of slow ones; rarer where saving takes long."""
        every, since = self.config.checkpoint_every, time.monotonic() - self.saved_at
        if not every or self.step >= len(self.prepared.steps):
            return bool(every)  # the last one lets a lost export begin where training ended
        pause = max(CHECKPOINT_SECONDS, self.saving_took / CHECKPOINT_SHARE)
        return self.step % every == 0 or since >= pause

    def checkpoint(self) -> None:
        if self.folder is None or not self.processes.is_first:
            return
        began = time.monotonic()
        try:
            checkpoints.save(self.folder, self.step, self._state(), belongs_to=self._fingerprint())
        except OSError as error:
            reason = error.strerror or error
            text = f"No checkpoint of step {self.step} could be written ({reason}); it goes on."
            self.emit(Log(text))
        else:
            self.emit(Checkpoint(self.step))
        self.saved_at = time.monotonic()
        self.saving_took = self.saved_at - began

    def _state(self) -> State:
        return {
            "weights": self._weights(),
            "best": self.best,
            "best_loss": self.best_loss,
            "misses": self.misses,
            "optimizer": self.optimizer.state_dict(),
            "outcome": asdict(self.outcome),
        }

    def resume(self) -> None:
        if self.folder is None:
            return
        state = checkpoints.load_newest(self.folder, belongs_to=self._fingerprint())
        if state is None:
            return
        self.model.load_state_dict(state["weights"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])
        self.best, self.best_loss = state["best"], state["best_loss"]
        self.misses = state["misses"]
        self.outcome = Outcome(**state["outcome"])
        self.outcome.resumed_from = self.step
        self.emit(Log(f"Goes on from the checkpoint of step {self.step}."))

    def _fingerprint(self) -> str:
        """Identify the run by all but what attempts may change: how a step is cut, and where."""
        settled = self.config.to_json()
        for name in ("micro_batch_tokens", "device", "checkpoint_every", "max_minutes"):
            del settled[name]
        rows = [row.inputs for row in self.prepared.train]
        return checkpoints.fingerprint(settled, self.prepared.steps, rows)

    def _figures(self, rate: float) -> Figures:
        tail = self.outcome.losses[-SMOOTHING_STEPS:]
        right = self.outcome.accuracies[-SMOOTHING_STEPS:]
        figures: Figures = {
            "loss": sum(tail) / len(tail),
            "train_accuracy": sum(right) / len(right),
            "learning_rate": rate,
            "tokens": self.outcome.train_tokens,
            "tokens_per_second": self.outcome.train_tokens / self.outcome.seconds,
            "eta_seconds": self._seconds_left(),
            "memory_bytes": peak_memory_bytes(),
        }
        valid = self.outcome.valid_losses.get(self.step)
        if valid is None:
            return figures
        accuracy = self.outcome.valid_accuracies.get(self.step)
        return {**figures, "valid_loss": valid, "valid_accuracy": accuracy}

    def _seconds_left(self) -> float:
        spent = self.outcome.seconds
        left = spent / self.step * (len(self.prepared.steps) - self.step)
        most = self.config.max_minutes
        return min(left, max(0.0, most * 60 - spent)) if most else left


def measure(
    model: torch.nn.Module, batches: Sequence[Batch], config: TrainingConfig
) -> tuple[float, float]:
    """Mean loss per answer token over the validation rows, and the share of those tokens that the
    model would have given first.
    """
    model.eval()
    loss, right = 0.0, 0
    with torch.no_grad(), precision(config):
        for batch in batches:
            mean, hits = answer_loss_and_hits(model, batch)
            loss += mean.item() * len(batch.targets)
            right += int(hits)
    model.train()
    answers = sum(len(batch.targets) for batch in batches)
    return float(loss / answers), right / answers


def batches_of(rows: Sequence[TokenRow], config: TrainingConfig) -> list[Batch]:
    """Return every row once, for `measure`."""
    lengths = [len(row.inputs) for row in rows]
    budget = max(config.micro_batch_tokens or 0, *lengths)
    plan = plan_batches(lengths, tokens_per_batch=budget, epochs=1, max_steps=None, seed=0)
    share = config.device == "cpu"
    return [collate([rows[i] for i in turn], share=share).to(config.device) for turn in plan]


def _finite(loss: float, step: int, config: TrainingConfig) -> None:
    if math.isfinite(loss):
        return
    rate = config.learning_rate or 0.0
    raise ChildError(
        "diverged",
        f"Training diverged at step {step + 1}: the loss is no longer a number. Try a lower "
        f"learning_rate ({rate:g} was used, try {rate / 4:.2g}) or dtype float32.",
    )
