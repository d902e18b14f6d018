"""The model card of an export: README.md of a model repository on the hub, with its front matter.

python -m pytest training/tests/test_export_card.py
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from distillation.pipeline.card import (
    CardFacts,
    CardSource,
    code,
    flat,
    hub_license,
    license_notes,
    quoted,
    source_table,
    table,
)
from training.export.bundle.artifacts import ARTIFACTS


@dataclass(frozen=True)
class ModelFacts:
    """All that a card tells; plain values, so that it travels as JSON."""

    title: str
    requirement: str
    system_prompt: str
    base: Mapping[str, Any]  # name, hub_id, revision, license, parameters
    config: Mapping[str, Any]
    dataset: Mapping[str, Any] = field(default_factory=dict)  # digest, splits
    sources: Sequence[Mapping[str, Any]] = ()  # name, license, rows, origin, revision
    criteria: Sequence[Mapping[str, Any]] = ()  # sentence, passed
    verdict: str = ""
    evaluation: Mapping[str, Any] = field(default_factory=dict)  # metric, n_test, base, tuned
    language: str = ""
    objective: str = ""
    policy: str = ""
    trained: Mapping[str, Any] = field(default_factory=dict)  # steps, tokens, device …


def data_facts(facts: ModelFacts) -> CardFacts:
    """Of the dataset, for the parts that both cards share."""
    return CardFacts(
        title=facts.title,
        requirement=facts.requirement,
        digest=str(facts.dataset.get("digest", "")),
        splits=facts.dataset.get("splits", {}),
        sources=[CardSource(**source) for source in facts.sources],
    )


def render_model_card(
    facts: ModelFacts, certificate: Mapping[str, Any], hashes: Mapping[str, str]
) -> str:
    sections = [
        f"# {flat(facts.title)}",
        f"A small language model, made from {code(facts.base['hub_id'])} for the requirement below "
        "with rows selected from a corpus; measured on rows that it never saw.",
        "## Requirement\n\n" + _requirement(facts),
        "## Measured\n\n" + _measured(facts),
        "## Parity certificate\n\n" + render_certificate(certificate),
        "## Data\n\n" + _data(facts),
        "## Training\n\n" + _training(facts),
        "## Base\n\n" + _base(facts),
        "## Files\n\n" + table(("File", "SHA-256"), [(f, f"`{h}`") for f, h in hashes.items()]),
    ]
    return f"---\n{_front_matter(facts, certificate)}---\n\n" + "\n\n".join(sections) + "\n"


def _front_matter(facts: ModelFacts, certificate: Mapping[str, Any]) -> str:
    names = [line["name"] for line in certificate.get("artifacts", ())]
    relation = "adapter" if names == ["adapter"] else "finetune"
    told = {
        "license": hub_license([facts.base["license"]]),
        "base_model": facts.base["hub_id"],
        "base_model_relation": relation,
        "language": [facts.language] if facts.language else None,
        "library_name": "transformers" if "merged" in names else "peft",
        "pipeline_tag": "text-generation",
        "tags": ["modelstation", *(["gguf"] if any("gguf" in name for name in names) else [])],
    }
    shown = {name: value for name, value in told.items() if value is not None}
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)


def _requirement(facts: ModelFacts) -> str:
    parts = [quoted(facts.requirement)]
    for name, text in (("Objective", facts.objective), ("Policy", facts.policy)):
        parts += [f"**{name}**\n\n{quoted(text)}"] if text else []
    if facts.system_prompt:
        title = "**System prompt**, without which it is another model"
        parts.append(f"{title}:\n\n{quoted(facts.system_prompt)}")
    return "\n\n".join(parts)


def _measured(facts: ModelFacts) -> str:
    if not facts.evaluation:
        return "This version was not evaluated."
    told = facts.evaluation
    rows = [
        (label, *_interval(told.get(side) or {}))
        for side, label in (("base", "Base"), ("tuned", "This model"))
    ]
    lines = [
        f"{told.get('metric')} on {told.get('n_test', 0):,} held-out rows:",
        table(("Model", "Score", "95 % interval"), rows),
    ]
    if facts.criteria:
        checked = [
            (c["sentence"], c.get("outcome") or ("pass" if c.get("passed") else "fail"))
            for c in facts.criteria
        ]
        lines.append(table(("Criterion", "Outcome"), checked))
    lines.append(f"**Verdict: {facts.verdict or 'none'}.**")
    return "\n\n".join(lines)


def _interval(found: Mapping[str, Any]) -> tuple[str, str]:
    if found.get("score") is None:
        return "–", "–"
    low, high = found.get("low"), found.get("high")
    return f"{found['score']:.3f}", f"{low:.3f} to {high:.3f}" if low is not None else "–"


def render_certificate(certificate: Mapping[str, Any]) -> str:
    reference = certificate["reference"]
    rows = [
        (
            _path_and_note(line["name"]),
            "–" if line["agreement"] is None else f"{100 * line['agreement']:.1f} %",
            *_interval(line),
            line["verdict"],
            line["sentence"],
        )
        for line in certificate["artifacts"]
    ]
    return "\n\n".join(
        [
            f"{certificate['rows']:,} held-out rows were replayed on each artifact, greedily. "
            f"Reference: {reference['what']}; its {certificate['metric']} is "
            f"{reference['score']:.3f} ({reference['low']:.3f} to {reference['high']:.3f}).",
            table(("Artifact", "Agreement", "Score", "95 % interval", "Verdict", "Said"), rows),
            *_made_of(certificate),
            f"**Certificate: {certificate['verdict']}.** Each artifact's own chat template, "
            "special tokens and vocabulary were compared with those of the training on every row.",
        ]
    )


def _path_and_note(name: str) -> str:
    artifact = ARTIFACTS[name]
    return f"{artifact.path} ({artifact.note})" if artifact.note else artifact.path


def _made_of(certificate: Mapping[str, Any]) -> list[str]:
    """Of each GGUF: how many tensors are of which type."""
    return [
        f"{code(line['file'])} holds tensors of the types "
        f"{', '.join(f'{kind} ({count})' for kind, count in line['made_of'].items())}."
        for line in certificate["artifacts"]
        if line["made_of"]
    ]


def _data(facts: ModelFacts) -> str:
    data = data_facts(facts)
    splits = ", ".join(f"{name} {rows:,}" for name, rows in data.splits.items()) or "–"
    return (
        f"Digest `{data.digest}`; rows: {splits}.\n\n{source_table(data)}\n\n{license_notes(data)}"
    )


def _training(facts: ModelFacts) -> str:
    rows = [(name, value) for name, value in sorted({**facts.config, **facts.trained}.items())]
    return table(("Setting", "Value"), [row for row in rows if row[1] not in (None, "", {}, [])])


def _base(facts: ModelFacts) -> str:
    base = facts.base
    return (
        f"{code(base['hub_id'])} at revision {code(base['revision'])}, licence "
        f"{code(base['license'])}. What is derived from it is under the same terms."
    )


def render_notice(facts: ModelFacts) -> str:
    """NOTICE: whom the receiver has to name, and whose terms go on to hold."""
    sources = [
        f"- {source['name']}: {source['license'] or 'no licence stated'}"
        f"{', ' + source['origin'] if source.get('origin') else ''} ({source['rows']:,} rows)"
        for source in facts.sources
    ]
    return "\n".join(
        [
            flat(facts.title),
            "",
            f"This model is derived from {facts.base['hub_id']}, revision",
            f"{facts.base['revision']}, licensed under {facts.base['license']}.",
            "It was changed by fine-tuning.",
            "",
            "It was tuned on rows of these sources, each under its own licence:",
            *(sources or ["- none"]),
            "",
            license_notes(data_facts(facts)),
            "",
        ]
    )
