"""The parity certificate of an export: the held-out rows, replayed on each artifact.

What must hold: every artifact carries the chat format of the training (see checks.py beside); the
f16 GGUF answers at least 99 % of the rows as the reference does; whatever rounds the weights
further scores no lower than the interval of the reference's score.

python -m pytest training/tests/export/test_certificate.py
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelstation.lm.chat import ChatRenderer, Message, load_renderer
from modelstation.lm.gguf.check import read_facts
from training.export.bundle import replay
from training.export.bundle.artifacts import ARTIFACTS
from training.export.bundle.checks import (
    UNREADABLE,
    Check,
    check_folder,
    check_gguf,
    temporary_folder,
    tokenizer_of_gguf,
)
from training.progress import Channel
from training.scoring.generate import HeldOut, answer_budget
from training.scoring.intervals import Bootstrap
from training.scoring.metrics import Metric, build_metric

LEAST_AGREEMENT = 0.99
PASS, FAIL = "pass", "fail"
PLAIN = "exact_match"
SAME = "Answers as the model that was measured."
WITHIN = "Other answers here and there; its score lies within the interval of the reference."
REFERENCE = "merged safetensors in transformers, computed in float32, greedy"


@dataclass(frozen=True)
class Sources:
    """Where things are found: the merged model, the base, and the tokenizer of the training."""

    merged: Path
    base: Path | None
    tokenizer: Path


@dataclass(frozen=True)
class Grading:
    """How answers are graded, and what the reference answered."""

    metric: Metric
    bootstrap: Bootstrap
    references: list[str]

    def interval(self, answers: Sequence[str]) -> dict[str, float]:
        return asdict(
            self.bootstrap.interval(self.metric, self.metric.sums(answers, self.references))
        )


def certify(
    artifacts: dict[str, Path],
    sources: Sources,
    rows: HeldOut,
    *,
    metric: str,
    labels: list[str] | None,
    max_tokens: int | None,
    channel: Channel,
) -> dict[str, Any]:
    """The certificate. `artifacts`: by name, the file of a GGUF, the folder of the others."""
    trained = load_renderer(sources.tokenizer)
    max_tokens = max_tokens or answer_budget(rows.references, trained)
    metric, graded = _metric(metric, labels, rows.references)
    grading = Grading(graded, Bootstrap(len(rows.references), 0), rows.references)
    checks = {name: _checks(name, path, trained, rows.prompts) for name, path in artifacts.items()}
    wanted = _replayed("merged", sources.merged, sources, trained, rows, max_tokens, channel)
    reference = grading.interval(wanted)
    answers: dict[str, list[str]] = {"merged": wanted}
    for name, path in artifacts.items():
        if name != "merged" and _sound(checks[name]):  # else it would be asked something else
            answers[name] = _replayed(name, path, sources, trained, rows, max_tokens, channel)
    found = [
        _line(name, path, checks[name], wanted, reference, grading, answers.get(name))
        for name, path in artifacts.items()
    ]
    return {
        "rows": len(rows.prompts),
        "metric": metric,
        "max_tokens": max_tokens,
        "reference": {"what": REFERENCE, **reference},
        "artifacts": found,
        "verdict": PASS if all(line["verdict"] == PASS for line in found) else FAIL,
    }


def _metric(name: str, labels: list[str] | None, references: list[str]) -> tuple[str, Metric]:
    """One that needs more than answers, such as tables to run a query on, is left to the
    evaluation; here the same answer is the same result.
    """
    try:
        return name, build_metric(name, {"labels": labels} if labels else {}, references)
    except (ValueError, KeyError):
        return PLAIN, build_metric(PLAIN, {}, references)


def _checks(
    name: str, path: Path, trained: ChatRenderer, prompts: list[list[Message]]
) -> list[Check]:
    check = check_gguf if ARTIFACTS[name].quantisation else check_folder
    return check(path, trained, prompts)


def _sound(checks: Sequence[Check]) -> bool:
    return all(check.passed for check in checks)


def _replayed(
    name: str,
    path: Path,
    sources: Sources,
    trained: ChatRenderer,
    rows: HeldOut,
    max_tokens: int,
    channel: Channel,
) -> list[str]:
    total = len(rows.prompts)

    def on_done(done: int) -> None:
        channel.progress(f"replay_{name}", step=done, total_steps=total)

    on_done(0)
    if ARTIFACTS[name].quantisation is None:
        if name == "adapter":
            assert sources.base is not None, "an adapter is nothing without its base"
            model = replay.load_adapted(sources.base, path)
        else:
            model = replay.load_merged(path)
        return replay.by_transformers(
            model, trained, rows.prompts, max_tokens=max_tokens, on_done=on_done
        )
    with temporary_folder() as folder:
        return replay.by_engine(
            path,
            tokenizer_of_gguf(read_facts(path), sources.tokenizer, Path(folder)),
            trained,
            rows.prompts,
            max_tokens=max_tokens,
            exact=ARTIFACTS[name].is_exact,
            on_done=on_done,
        )


def _line(
    name: str,
    path: Path,
    checks: Sequence[Check],
    wanted: Sequence[str],
    reference: dict[str, float],
    grading: Grading,
    answers: Sequence[str] | None,
) -> dict[str, Any]:
    line: dict[str, Any] = {
        "name": name,
        "file": path.name,
        "how": ARTIFACTS[name].runtime,
        # Q4_K_M is a recipe: which types it came to is for the file to say.
        "made_of": read_facts(path).tensor_types if _is_readable_gguf(name, checks) else {},
        "checks": [asdict(check) for check in checks],
        "agreement": None,
        "score": None,
        "low": None,
        "high": None,
    }
    wrong = [check.sentence for check in checks if not check.passed]
    if answers is not None:
        same = [a.strip() == b.strip() for a, b in zip(answers, wanted, strict=True)]
        line |= grading.interval(answers) | {"agreement": sum(same) / len(same)}
        wrong += _shortfalls(name, line, reference)
    said = " ".join(wrong) or (SAME if line["agreement"] >= LEAST_AGREEMENT else WITHIN)
    return line | {"verdict": FAIL if wrong else PASS, "sentence": said}


def _is_readable_gguf(name: str, checks: Sequence[Check]) -> bool:
    return ARTIFACTS[name].quantisation is not None and all(
        check.name != UNREADABLE for check in checks
    )


def _shortfalls(name: str, line: dict[str, Any], reference: dict[str, float]) -> list[str]:
    wrong = []
    if ARTIFACTS[name].is_exact and line["agreement"] < LEAST_AGREEMENT:
        wrong.append(
            f"Only {100 * line['agreement']:.1f} % of its answers are those of the reference; "
            f"{100 * LEAST_AGREEMENT:.0f} % were asked."
        )
    if line["score"] < reference["low"]:
        wrong.append(
            f"Its score {line['score']:.3f} lies below the interval of the reference "
            f"({reference['low']:.3f} to {reference['high']:.3f})."
        )
    return wrong
