"""The parity certificate of an export: the held-out rows, replayed on each artifact.

What must hold: every artifact carries the chat format of the training (see checks.py beside); the
f16 GGUF answers at least 99 % of the rows as the reference does; whatever rounds the weights
further scores no lower than the interval of the reference's score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from modelstation.lm.chat import ChatRenderer, load_renderer
from modelstation.lm.gguf.check import read_facts
from training.export.bundle import replay
from training.export.bundle.artifacts import ARTIFACTS, ENCODER
from training.export.bundle.checks import UNREADABLE, check_folder, check_gguf, tokenizer_of_gguf
from training.export.bundle.results import FAIL, PASS, ArtifactResult, Certificate, Check, Reference
from training.progress import Channel
from training.scoring.generate import HeldOut, answer_budget, distinct, generate
from training.scoring.intervals import Bootstrap, Interval
from training.scoring.metrics import build_scorer
from training.scoring.scorers import Scorer

LEAST_AGREEMENT = 0.99
PLAIN = "exact_match"
SAME = "Answers as the model that was measured."
WITHIN = "Other answers here and there; its score lies within the interval of the reference."
SERVED_HERE = "the engine that serves this model at its maker's"
REFERENCE = "merged safetensors in transformers, computed in float32, greedy"


@dataclass(frozen=True)
class Sources:
    """Where things lie: the merged model, the base, and the tokenizer of the training."""

    merged: Path
    base: Path | None
    tokenizer: Path


@dataclass(frozen=True)
class Grading:
    """How answers are graded, and what the reference answered."""

    metric: Scorer
    bootstrap: Bootstrap
    references: list[str]

    def interval(self, answers: Sequence[str]) -> Interval:
        return self.bootstrap.interval(self.metric, self.metric.sums(answers, self.references))


def certify(
    artifacts: dict[str, Path],
    sources: Sources,
    rows: HeldOut,
    *,
    metric: str,
    labels: list[str] | None,
    channel: Channel,
    max_tokens: int | None = None,
) -> Certificate:
    """Replay the rows. `artifacts`: by name, the file of a GGUF, the folder of the others."""
    trained = load_renderer(sources.tokenizer)
    max_tokens = max_tokens or answer_budget(rows.references, trained)
    metric, graded = _metric(metric, labels, rows.references)
    grading = Grading(graded, Bootstrap(len(rows.references), 0), rows.references)
    checks = {}
    for name, path in artifacts.items():
        check = check_gguf if ARTIFACTS[name].quantisation else check_folder
        checks[name] = check(path, trained, rows.prompts)
    wanted = _replayed("merged", sources.merged, sources, trained, rows, max_tokens, channel)
    reference = grading.interval(wanted)
    answers: dict[str, list[str]] = {"merged": wanted}
    for name, path in artifacts.items():
        is_sound = all(check.passed for check in checks[name])  # else its prompts would be others
        if name != "merged" and is_sound:
            answers[name] = _replayed(name, path, sources, trained, rows, max_tokens, channel)
    results = [
        _result(name, path, checks[name], wanted, reference, grading, answers.get(name))
        for name, path in artifacts.items()
    ]
    return Certificate(
        rows=len(rows.prompts),
        metric=metric,
        max_tokens=max_tokens,
        reference=Reference(REFERENCE, reference.score, reference.low, reference.high),
        artifacts=results,
        verdict=PASS if all(result.verdict == PASS for result in results) else FAIL,
    )


def certify_encoder(
    folder: Path,
    served: Sequence[str],
    answers: Sequence[str],
    rows: HeldOut,
    *,
    metric: str,
    labels: list[str] | None,
) -> Certificate:
    """Compare the answers of an export's client with those of the engine that serves here."""
    metric, graded = _metric(metric, labels, rows.references)
    grading = Grading(graded, Bootstrap(len(rows.references), 0), rows.references)
    reference = grading.interval(served)
    result = _result(ENCODER, folder, [], served, reference, grading, answers)
    return Certificate(
        rows=len(rows.prompts),
        metric=metric,
        max_tokens=1,
        reference=Reference(SERVED_HERE, reference.score, reference.low, reference.high),
        artifacts=[result],
        verdict=result.verdict,
    )


def _metric(name: str, labels: list[str] | None, references: list[str]) -> tuple[str, Scorer]:
    """One that needs more than answers, such as tables to run a query on, is left to the
    evaluation; here the same answer is the same result.
    """
    try:
        return name, build_scorer(name, {"labels": labels} if labels else {}, references)
    except (ValueError, KeyError):
        return PLAIN, build_scorer(PLAIN, {}, references)


def _replayed(
    name: str,
    path: Path,
    sources: Sources,
    trained: ChatRenderer,
    rows: HeldOut,
    max_tokens: int,
    channel: Channel,
) -> list[str]:
    is_gguf = ARTIFACTS[name].quantisation is not None
    total = len(distinct(rows.prompts) if is_gguf else rows.prompts)

    def on_done(done: int) -> None:
        channel.progress(f"replay_{name}", step=done, total_steps=total)

    on_done(0)
    if not is_gguf:
        base = sources.base if name == "adapter" else None  # without one, it was refused before
        model = replay.load_adapted(base, path) if base else replay.load_merged(path)
        return replay.by_transformers(
            model, trained, rows.prompts, max_tokens=max_tokens, on_done=on_done
        )
    with TemporaryDirectory(prefix="export-tokenizer-") as folder:
        tokenizer = tokenizer_of_gguf(read_facts(path), sources.tokenizer, Path(folder))
        exact = ARTIFACTS[name].is_exact
        return generate(
            path, tokenizer, rows.prompts, max_tokens=max_tokens, on_done=on_done, exact=exact
        ).texts


def _result(
    name: str,
    path: Path,
    checks: Sequence[Check],
    wanted: Sequence[str],
    reference: Interval,
    grading: Grading,
    answers: Sequence[str] | None,
) -> ArtifactResult:
    is_readable_gguf = ARTIFACTS[name].quantisation is not None and all(
        check.name != UNREADABLE for check in checks
    )
    wrong = [check.sentence for check in checks if not check.passed]
    agreement, interval = None, None
    if answers is not None:
        same = [a.strip() == b.strip() for a, b in zip(answers, wanted, strict=True)]
        agreement, interval = sum(same) / len(same), grading.interval(answers)
        wrong += _shortfalls(name, agreement, interval.score, reference)
    is_same = agreement is not None and agreement >= LEAST_AGREEMENT
    return ArtifactResult(
        name=name,
        file=path.name,
        how=ARTIFACTS[name].runtime,
        # Q4_K_M is a recipe: which types it came to is for the file to say.
        made_of=read_facts(path).tensor_types if is_readable_gguf else {},
        checks=list(checks),
        agreement=agreement,
        score=interval.score if interval else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        verdict=FAIL if wrong else PASS,
        sentence=" ".join(wrong) or (SAME if is_same else WITHIN),
    )


def _shortfalls(name: str, agreement: float, score: float, reference: Interval) -> list[str]:
    wrong = []
    if ARTIFACTS[name].is_exact and agreement < LEAST_AGREEMENT:
        wrong.append(
            f"Only {100 * agreement:.1f} % of its answers are those of the reference; "
            f"{100 * LEAST_AGREEMENT:.0f} % are required."
        )
    if score < reference.low:
        wrong.append(
            f"Its score {score:.3f} lies below the interval of the reference "
            f"({reference.low:.3f} to {reference.high:.3f})."
        )
    return wrong
