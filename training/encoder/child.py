"""The child that trains an encoder student: a dataset goes in, a head of kilobytes comes out.

    python -m training.encoder.child SPEC.json

SPEC.json holds the fields of training.encoder.spec.EncoderSpec. Progress and the result are JSON
lines on standard output.
"""

import sys
import time
from pathlib import Path

from modelstation.core.artifacts import write_artifact
from modelstation.lm.encoder.encoders import REVISIONS
from modelstation.lm.encoder.head import last_question
from training.encoder.fitting import MIN_LABELS, Fitted, Rows, Trial, fit, trials_of
from training.encoder.spec import EncoderSpec, Trained
from training.progress import Channel, ChildError, read_spec, run_as_child
from training.recipes.rows import read_conversations


def main(spec_path: str) -> None:
    run_as_child(
        lambda channel: run(EncoderSpec.from_json(read_spec(spec_path)), channel).to_json()
    )


def run(spec: EncoderSpec, channel: Channel) -> Trained:
    """Return the result. ChildError for what the user can put right."""
    began = time.monotonic()
    train, valid = (_rows(spec.dataset / f"{split}.jsonl") for split in ("train", "valid"))
    if len(set(train.labels)) < MIN_LABELS:
        message = "An encoder tells labels apart, and these rows have only one answer."
        raise ChildError("bad_spec", f"{message} Choose a generator, or rows of several labels.")
    channel.progress("embed", step=0, total_steps=1)
    from training.encoder.features import vectors_of

    vectors = vectors_of(train.texts, valid.texts)
    channel.progress("embed", step=1, total_steps=1)
    total, tried = trials_of(vectors), 0

    def on_trial(trial: Trial) -> None:
        nonlocal tried
        tried += 1
        channel.log(f"{trial.name}: accuracy {trial.accuracy:.3f} on validation rows")
        channel.progress("fit", step=tried, total_steps=total)

    fitted = fit(train, valid, vectors, REVISIONS, on_trial)
    channel.progress("export", step=0, total_steps=1)
    facts = _facts(fitted, train, valid, time.monotonic() - began)
    artifact = spec.out_dir / "encoder"
    manifest = write_artifact(artifact, fitted.head.save, kind="encoder", facts=facts)
    channel.progress("export", step=1, total_steps=1)
    settings = fitted.head.settings
    config = {
        "student": "encoder",
        "features": dict(settings.parts),
        "temperature": settings.temperature,
        "labels": len(settings.labels),
    }
    return Trained({"encoder": manifest}, config, facts)


def _rows(path: Path) -> Rows:
    """Of each row the last of the user's messages, and the answer."""
    try:
        conversations = read_conversations(path)
    except OSError as error:
        message = f"The run needs the file {path.name} in {path.parent.name}."
        raise ChildError("bad_spec", message) from error
    except ValueError as error:
        raise ChildError("bad_spec", str(error)) from error
    pairs = [(last_question(turns), turns[-1]["content"].strip()) for turns in conversations]
    return Rows([question for question, _ in pairs], [answer for _, answer in pairs])


def _facts(fitted: Fitted, train: Rows, valid: Rows, seconds: float) -> dict[str, object]:
    return {
        "seconds": seconds,
        "train_rows": len(train.texts),
        "valid_rows": len(valid.texts),
        "valid_accuracy": fitted.accuracy,
        "calibration_error": fitted.calibration_error,
        "trials": [vars(trial) for trial in fitted.trials],
        "device": "cpu",
    }


if __name__ == "__main__":
    main(sys.argv[1])
