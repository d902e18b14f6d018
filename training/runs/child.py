"""The training child: a dataset and a base go in; adapter, merged weights and GGUF come out, each
with a manifest.

    python -m training.runs.child SPEC.json

SPEC.json holds the fields of training.runs.spec.TrainingSpec.
Progress and the result are JSON lines on standard output. SIGUSR1 requests a checkpoint and an end
(exit code 75); the same command then goes on from there. A run that is cancelled or fails publishes
nothing: artifacts are made in a working folder and moved into place when all are whole. On a
machine with several GPUs each gets a process of its own.
"""

import ctypes
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelstation.core.artifacts import write_artifact
from modelstation.lm.gguf.facts import facts_of_model
from modelstation.lm.gguf.quantisations import SERVED
from training.progress import Channel, ChildError, read_spec, run_as_child
from training.recipes.config import TrainingConfig
from training.recipes.facts import TrainingFacts
from training.runs.spec import Manifest, Manifests, TrainingResult, TrainingSpec

if TYPE_CHECKING:
    import torch

    from training.recipes.lora_sft import Outcome
    from training.recipes.preparing import Prepared

PR_SET_PDEATHSIG = 1
GGUF_NAME = SERVED.file_name
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "generation_config.json",
)  # fmt: skip


def main(spec_path: str) -> None:
    """Run in one process for each GPU, unless TRAINING_PROCESSES says otherwise."""
    import torch

    processes = int(os.environ.get("TRAINING_PROCESSES") or max(1, torch.cuda.device_count()))
    if processes > 1 and "RANK" not in os.environ:
        _launch(processes, spec_path)
    if "RANK" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # the launcher may be killed
    run_as_child(lambda channel: _run(spec_path, channel))


def _run(spec_path: str, channel: Channel) -> Mapping[str, Any]:
    result = run_training(TrainingSpec.from_json(read_spec(spec_path)), channel)
    return result.to_json() if result else {}


def _launch(processes: int, spec_path: str) -> None:
    """Become torch's launcher. It must not die of the signal that asks for a checkpoint: what is
    ignored stays so over exec, and each child then listens for itself.
    """
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts=0"]
    flags = [f"--nproc-per-node={processes}", "--module", "training.runs.child", spec_path]
    os.execv(sys.executable, [*launcher, *flags])


@dataclass(frozen=True)
class Trained:
    """A model after its training, and all that its artifacts are made of."""

    model: Any
    spec: TrainingSpec
    config: TrainingConfig
    facts: TrainingFacts

    def manifest_facts(self) -> dict[str, Any]:
        return {**self.facts.to_json(), "config": self.config.to_json()}


def run_training(spec: TrainingSpec, channel: Channel) -> TrainingResult | None:
    """Return the result, in the first process. ChildError for what the user can put right."""
    channel.progress("load", step=0, total_steps=1)
    prepared = _prepare(spec)
    channel.log(_opening_line(prepared))
    model, outcome = _train(spec, prepared, channel)
    from training.recipes.parallel import Processes

    if not Processes().is_first:
        return None
    config = prepared.config
    facts = outcome.facts(base_name=spec.base_name, device=config.device)
    trained = Trained(model, spec, config, facts)
    artifacts = write_artifacts(trained, channel)
    if spec.keep_checkpoints and spec.checkpoints_dir:
        artifacts |= export_checkpoints(trained, spec.checkpoints_dir, channel)
    return TrainingResult(artifacts, config, facts)


def _prepare(spec: TrainingSpec) -> "Prepared":
    rows = [spec.dataset / "train.jsonl", spec.dataset / "valid.jsonl"]
    for path in (*rows, spec.base_folder / "config.json"):
        if not path.is_file():
            message = f"The run needs the file {path.name} in {path.parent.name}."
            raise ChildError("bad_spec", message)
    from training.recipes.preparing import prepare

    try:
        return prepare(spec.dataset, spec.base_folder, spec.config)
    except ValueError as error:
        raise ChildError("bad_spec", str(error)) from error


def _train(
    spec: TrainingSpec, prepared: "Prepared", channel: Channel
) -> "tuple[torch.nn.Module, Outcome]":
    import torch

    from training.plan.estimate.measure import idle_cores
    from training.recipes.lora_sft import setup_model, train

    torch.set_num_threads(idle_cores())
    try:
        model = setup_model(spec.base_folder, prepared.config)
        outcome = train(
            model,
            prepared,
            channel.emit,
            checkpoints_dir=spec.checkpoints_dir,
            should_stop=lambda: channel.stop_requested,
        )
    except torch.cuda.OutOfMemoryError as error:
        hint = "lower tokens_per_batch or max_seq_len, or choose a smaller base."
        raise ChildError("gpu_oom", f"The GPU ran out of memory: {hint}") from error
    return model, outcome


def _opening_line(prepared: "Prepared") -> str:
    config = prepared.config
    left_out = f", {prepared.rows_left_out} longer rows left out" if prepared.rows_left_out else ""
    return (
        f"{len(prepared.train)} rows{left_out}, {len(prepared.steps)} steps on {config.device} "
        f"in {config.dtype}, learning rate {config.learning_rate:g}"
    )


def write_artifacts(trained: Trained, channel: Channel) -> Manifests:
    """Make the artifacts in a working folder, move them to their place together, and return their
    manifests. Full tuning leaves no adapter.
    """
    spec, out_dir = trained.spec, trained.spec.out_dir
    out_dir.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".artifacts-", dir=out_dir))
    steps: dict[str, tuple[str, Callable[[Path], None]]] = {
        "adapter": ("merge", lambda target: save_adapter(trained.model, target, spec.base_name)),
        "merged": ("merge", lambda target: _save_whole(trained, work / "adapter", target)),
        "gguf": ("export", lambda target: save_gguf(work / "merged", target)),
    }
    if trained.config.method == "full":
        del steps["adapter"]
    facts = trained.manifest_facts()
    try:
        manifests = {}
        for done, (kind, (stage, fill)) in enumerate(steps.items()):
            channel.progress(stage, step=done, total_steps=len(steps))
            serving = facts_of_model(spec.base_folder).to_json() if kind == "gguf" else {}
            manifests[kind] = write_artifact(work / kind, fill, kind=kind, facts=facts | serving)
        for kind in steps:
            shutil.rmtree(out_dir / kind, ignore_errors=True)  # an earlier attempt of this run
            (work / kind).rename(out_dir / kind)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    channel.progress("export", step=len(steps), total_steps=len(steps))
    return manifests


def export_checkpoints(trained: Trained, checkpoints_dir: Path, channel: Channel) -> Manifests:
    """Write a GGUF of each checkpoint that was kept, as the artifact `ckpt-step-N`; the best one is
    the model itself. Leaves the weights of the last of them in the model.
    """
    from training.recipes.checkpoints import kept_states

    best = trained.facts.best_step
    states = [(step, weights) for step, weights in kept_states(checkpoints_dir) if step != best]
    manifests = {}
    for done, (step, weights) in enumerate(states):
        channel.progress("checkpoints", step=done, total_steps=len(states))
        trained.model.load_state_dict(weights, strict=False)
        kind = f"ckpt-step-{step}"
        try:
            manifests[kind] = _export_checkpoint(trained, step, trained.spec.out_dir / kind)
        except OSError as error:  # the model itself is whole: a full disk costs no more than these
            reason = error.strerror or error
            channel.log(f"The checkpoint of step {step} is not kept: {reason}.")
    if states:
        channel.progress("checkpoints", step=len(states), total_steps=len(states))
    return manifests


def _export_checkpoint(trained: Trained, step: int, target: Path) -> Manifest:
    with tempfile.TemporaryDirectory(prefix=".checkpoint-", dir=target.parent) as work:
        adapter, merged = Path(work) / "adapter", Path(work) / "merged"
        merged.mkdir()
        if trained.config.method != "full":
            save_adapter(trained.model, adapter, trained.spec.base_name)
        _save_whole(trained, adapter, merged)
        facts = {**trained.manifest_facts(), "step": step}
        facts |= facts_of_model(trained.spec.base_folder).to_json()
        return write_artifact(target, partial(save_gguf, merged), kind=target.name, facts=facts)


def _save_whole(trained: Trained, adapter: Path, target: Path) -> None:
    """Save the whole weights: those tuned, or the base with what was saved as `adapter`."""
    if trained.config.method == "full":
        save_tuned(trained.model, trained.spec.base_folder, target)
    else:
        save_merged(trained.spec.base_folder, adapter, target)


def save_adapter(model: Any, target: Path, base_name: str) -> None:
    """Save the adapter, which names its base by name: a path means nothing on another machine."""
    model.peft_config["default"].base_model_name_or_path = base_name
    model.save_pretrained(target, save_embedding_layers=False)
    (target / "README.md").unlink(missing_ok=True)  # peft's empty model card


def save_tuned(model: Any, base_folder: Path, target: Path) -> None:
    """Save weights that were all tuned, in float32: rounded once, to the base's own dtype."""
    model.to(_stored_dtype(base_folder)).save_pretrained(target)
    copy_tokenizer(base_folder, target)


def save_merged(base_folder: Path, adapter: Path, target: Path) -> None:
    """Save base plus adapter, added in float32 and rounded once, to the base's own dtype."""
    import torch
    from peft import PeftModel

    from modelstation.lm.loading import load_causal_lm

    base = load_causal_lm(base_folder, torch.float32)
    merged = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()
    merged.to(_stored_dtype(base_folder)).save_pretrained(target)
    copy_tokenizer(base_folder, target)


def _stored_dtype(base_folder: Path) -> "torch.dtype":
    import torch
    from transformers import AutoConfig

    stored: torch.dtype | None
    stored = AutoConfig.from_pretrained(base_folder, local_files_only=True).dtype
    return stored or torch.float32


def save_gguf(merged: Path, target: Path) -> None:
    """Save what the serving engine takes: quantised weights, and the tokenizer for its chats."""
    from modelstation.lm.gguf.export import export_gguf

    export_gguf(merged, target / GGUF_NAME)
    copy_tokenizer(merged, target)


def copy_tokenizer(source: Path, target: Path) -> None:
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copy(source / name, target / name)


if __name__ == "__main__":
    main(sys.argv[1])
