"""The dataset card: README.md with the front matter that the Hugging Face Hub reads.

    write_card(folder, CardFacts(title="Support router, dataset 1", requirement="…", …))

Try it: pytest distillation/tests/pipeline/test_card.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from distillation.pipeline.licenses import OWN_DATA, is_unknown

CARD = "README.md"
HUB_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
SIZES = (
    (1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)  # fmt: skip
# Names that the hub knows, of the licences that data comes under.
_HUB_LICENSES = (
    "mit apache-2.0 bsd bsd-2-clause bsd-3-clause isc unlicense pddl odc-by odbl gpl-2.0 gpl-3.0 "
    "agpl-3.0 lgpl-3.0 mpl-2.0 cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 "
    "cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 "
    "cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0"
)
HUB_LICENSES = frozenset(_HUB_LICENSES.split())
HUB_ALIASES = {"odc-by-1.0": "odc-by", "cc0": "cc0-1.0", "apache 2.0": "apache-2.0"}
TASKS = {
    "classify": ("label each input", "text-classification"),
    "extract_json": ("extract facts as JSON", "text-generation"),
    "sql": ("write SQL", "text-generation"),
    "number": ("work out a number", "text-generation"),
    "generate": ("write a text", "text-generation"),
}
SHOWN_LABELS = 200
SHOWN_MAPPINGS = 200
VERIFY = """\
```python
import hashlib, json

lines = []
for split in ("train", "valid", "test"):
    with open(f"{split}.jsonl", encoding="utf-8") as rows:
        for row in rows:
            turns = [[turn["role"], turn["content"]] for turn in json.loads(row)["messages"]]
            text = json.dumps(turns, ensure_ascii=False, separators=(",", ":"))
            lines.append(f"{split} {hashlib.sha256(text.encode()).hexdigest()}")
print(hashlib.sha256("\\n".join(sorted(lines)).encode()).hexdigest())
```"""


@dataclass(frozen=True)
class CardSource:
    """The rows of one source under one licence."""

    name: str
    license: str
    rows: int
    origin: str = ""
    revision: str = ""


@dataclass(frozen=True)
class CardFacts:
    title: str
    requirement: str
    digest: str
    splits: Mapping[str, int]
    sources: Sequence[CardSource]
    objective: str = ""
    policy: str = ""
    system_prompt: str = ""
    held_out: int = 0  # of the test rows, those that the user brought
    intent: Mapping[str, Any] = field(default_factory=dict)
    label_map: Sequence[Mapping[str, Any]] = ()
    funnel: Sequence[Mapping[str, Any]] = ()

    @property
    def rows(self) -> int:
        return sum(self.splits.values())

    @property
    def licenses(self) -> list[str]:
        return sorted({source.license for source in self.sources})


def write_card(folder: Path, facts: CardFacts) -> None:
    (folder / CARD).write_text(render_card(facts), encoding="utf-8")


def render_card(facts: CardFacts) -> str:
    sections = [
        f"# {flat(facts.title)}",
        _summary(facts),
        "## Requirement\n\n" + _requirement(facts),
        "## What was understood\n\n" + _understood(facts),
        "## Splits\n\n" + _splits(facts),
        "## Sources\n\n" + source_table(facts),
        "## Licences and attribution\n\n" + license_notes(facts),
        "## From corpus to dataset\n\n" + _funnel(facts) if facts.funnel else "",
        "## How labels were mapped\n\n" + _label_map(facts) if facts.label_map else "",
        "## Verify\n\n" + _verify(facts),
    ]
    body = "\n\n".join(section for section in sections if section)
    return f"---\n{front_matter(facts)}---\n\n{body}\n"


def front_matter(facts: CardFacts) -> str:
    """YAML in the Hub's format. Splits without a row are left out: the Hub cannot load them."""
    files = [
        {"split": HUB_SPLITS[split], "path": f"{split}.jsonl"}
        for split in HUB_SPLITS
        if facts.splits.get(split)
    ]
    kind = facts.intent.get("task_kind", "")
    known = {
        "pretty_name": flat(facts.title),
        "license": hub_license(facts.licenses),
        "language": [facts.intent["language"]] if facts.intent.get("language") else None,
        "task_categories": [TASKS[kind][1]] if kind in TASKS else None,
        "size_categories": [size_category(facts.rows)],
        "tags": ["modelstation"],
        "configs": [{"config_name": "default", "data_files": files}] if files else None,
    }
    shown = {name: value for name, value in known.items() if value is not None}
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)


def hub_license(names: Sequence[str]) -> str | list[str]:
    """One name, a list where several are known to the Hub, and `other` where one is not."""
    known = sorted({_hub_name(name) for name in names})
    if not known or "other" in known:
        return "other"
    return known[0] if len(known) == 1 else known


def size_category(rows: int) -> str:
    return next((name for limit, name in SIZES if rows < limit), "n>10M")


def _hub_name(license_name: str) -> str:
    plain = re.split(r"[(;]", license_name.casefold())[0].strip()
    name = HUB_ALIASES.get(plain, plain)
    return name if name in HUB_LICENSES else "other"


def _summary(facts: CardFacts) -> str:
    return (
        f"{facts.rows:,} rows, selected from {len({s.name for s in facts.sources})} sources for "
        "the requirement below. Rows were chosen, filtered and put into one form; none was "
        "invented by a model."
    )


def _requirement(facts: CardFacts) -> str:
    parts = [quoted(facts.requirement)]
    parts += [f"**Objective**\n\n{quoted(facts.objective)}"] if facts.objective else []
    parts += [f"**Policy**\n\n{quoted(facts.policy)}"] if facts.policy else []
    return "\n\n".join(parts)


def _understood(facts: CardFacts) -> str:
    intent = facts.intent
    lines = []
    if task := TASKS.get(intent.get("task_kind", "")):
        lines.append(f"- Kind of task: {task[0]}")
    if labels := intent.get("labels"):
        shown = ", ".join(code(label) for label in labels[:SHOWN_LABELS])
        more = f" and {len(labels) - SHOWN_LABELS:,} more" if len(labels) > SHOWN_LABELS else ""
        lines.append(f"- {len(labels):,} labels: {shown}{more}")
    if keys := intent.get("json_keys"):
        lines.append(f"- JSON keys: {', '.join(code(key) for key in keys)}")
    if intent.get("answer_max_chars"):
        low, high = intent.get("answer_min_chars", 1), intent["answer_max_chars"]
        lines.append(f"- Answers of {low:,} to {high:,} characters")
    if intent.get("language"):
        lines.append(f"- Language: {intent['language']}")
    prompt = facts.system_prompt or intent.get("system_prompt", "")
    if prompt:
        lines.append(f"- System prompt of every row:\n\n{quoted(prompt)}")
    return "\n".join(lines) or "Nothing beyond the requirement."


def _splits(facts: CardFacts) -> str:
    rows = [
        (HUB_SPLITS[split], f"`{split}.jsonl`", f"{facts.splits[split]:,}")
        for split in HUB_SPLITS
        if facts.splits.get(split)
    ]
    shown = table(("Split", "File", "Rows"), rows)
    notes = ["`dataset.parquet` holds all rows with a `split` column."]
    if facts.held_out:
        notes.append(f"{facts.held_out:,} test rows were brought by the customer.")
    return f"{shown}\n\n{' '.join(notes)} Twins of a row never stand in another split."


def source_table(facts: CardFacts) -> str:
    rows = [
        (s.name, s.license or "not stated", f"{s.rows:,}", s.origin or "–", s.revision or "–")
        for s in facts.sources
    ]
    return table(("Source", "Licence", "Rows", "Origin", "Revision"), rows)


def license_notes(facts: CardFacts) -> str:
    """What the terms of the sources ask of whoever uses the dataset; no legal advice."""
    notes = [
        "Each row carries the licence of its source in its `license` column; the terms of every "
        "source go on to hold for its rows.",
        _note(facts, r"cc-by|odc-by", "Attribution: credit the authors of {names} (CC-BY terms)."),
        _note(
            facts,
            r"-sa\b|\bgpl|odbl",
            "**Share-alike**: what is derived from {names} may have to be shared under the same "
            "terms. Check this before you publish the dataset or a model trained on it.",
        ),
        _note(facts, r"-nc\b|non-?commercial", "**Non-commercial**: {names} exclude such use."),
        _note(facts, r"-nd\b", "**No derivatives**: {names} allow no altered copies to be shared."),
        _note(
            facts,
            rf"^{re.escape(OWN_DATA)}$",
            "{names} were uploaded by the organisation itself and are not licensed to others.",
        ),
        _unstated(facts),
    ]
    return "\n".join(f"- {note}" for note in notes if note)


def _note(facts: CardFacts, pattern: str, sentence: str) -> str:
    concerned = [s for s in facts.sources if re.search(pattern, s.license, re.IGNORECASE)]
    return sentence.format(names=_names(concerned)) if concerned else ""


def _unstated(facts: CardFacts) -> str:
    concerned = [source for source in facts.sources if is_unknown(source.license)]
    return f"Nobody stated a licence for {_names(concerned)}." if concerned else ""


def _names(sources: Sequence[CardSource]) -> str:
    return ", ".join(
        f"{code(name)}" for name in dict.fromkeys(flat(source.name) for source in sources)
    )


def _funnel(facts: CardFacts) -> str:
    rows = [
        (step["filter"], f"{step['refused']:,}", f"{step['kept']:,}" if "kept" in step else "–")
        for step in facts.funnel
    ]
    return table(("Step", "Refused", "Left"), rows)


def _label_map(facts: CardFacts) -> str:
    shown = facts.label_map[:SHOWN_MAPPINGS]
    rows = [
        (m["source"], m["label"], m.get("mapped_to") or "left out", m.get("how") or "–")
        for m in shown
    ]
    mapped = table(("Source", "Its label", "Becomes", "How"), rows)
    more = len(facts.label_map) - len(shown)
    return f"{mapped}\n\nAnd {more:,} more." if more else mapped


def _verify(facts: CardFacts) -> str:
    return (
        f"The digest of this dataset is `{facts.digest}`: a SHA-256 over the sorted lines "
        f"“split hash” of all its rows, where a row's hash is over its roles and contents.\n\n"
        f"{VERIFY}"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    return flat(str(value)).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def code(value: Any) -> str:
    """A code span that no backtick of the value ends."""
    text = flat(str(value))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def flat(text: str) -> str:
    return " ".join(text.split())


def quoted(text: str) -> str:
    """As a quotation, so that no heading or table of the user's own breaks the card."""
    return "\n".join(f"> {line.replace('<', '&lt;')}".rstrip() for line in text.splitlines())
