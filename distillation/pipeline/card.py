"""The dataset card: README.md with the front matter that the Hugging Face Hub reads.

    write_card(folder, CardFacts(title="Support router, dataset 1", requirement="…", …))
Try it: pytest distillation/tests/pipeline/test_card.py
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import yaml

from distillation.pipeline.licenses import OWN_DATA, is_unknown
from distillation.pipeline.provenance import LabelledRows

CARD = "README.md"
HUB_SPLITS = {"train": "train", "valid": "validation", "test": "test"}
SIZES = (
    (1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)  # fmt: skip
# Names that the hub has for the licences that data comes under.
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
# What each kind of terms asks for, by the licences that have them.
TERMS = {
    "attribution": r"cc-by|odc-by",
    "share_alike": r"-sa\b|\bgpl|odbl",
    "non_commercial": r"-nc\b|non-?commercial",
    "no_derivatives": r"-nd\b",
    "own_data": rf"^{re.escape(OWN_DATA)}$",
}
TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class CardSource:
    """The rows of one source under one licence."""

    name: str
    license: str
    rows: int
    origin: str = ""
    revision: str = ""
    kind: str = ""  # the way its rows came, in words


@dataclass(frozen=True)
class CardTeacher:
    """What a large model did for the sources of this dataset, and on which terms."""

    name: str
    actions: str  # "write, label"
    cost: str  # with its currency
    terms: str = ""


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
    labelled: Sequence[LabelledRows] = ()  # empty: not counted
    funnel: Sequence[Mapping[str, Any]] = ()
    teachers: Sequence[CardTeacher] = ()

    @property
    def rows(self) -> int:
        return sum(self.splits.values())

    @property
    def written_by_teachers(self) -> int:
        return sum(group.rows for group in self.labelled if group.labelled_by == "teacher")

    @property
    def says_who_labelled(self) -> bool:
        return any(group.labelled_by for group in self.labelled)

    @property
    def licenses(self) -> list[str]:
        return sorted({source.license for source in self.sources})

    @property
    def terms(self) -> dict[str, str]:
        """Return the names of the sources that each kind of terms is about."""
        concerned = {
            term: [s for s in self.sources if re.search(pattern, s.license, re.IGNORECASE)]
            for term, pattern in TERMS.items()
        }
        concerned["unstated"] = [s for s in self.sources if is_unknown(s.license)]
        return {term: _names(sources) for term, sources in concerned.items()}


def write_card(folder: Path, facts: CardFacts) -> None:
    (folder / CARD).write_text(render_card(facts), encoding="utf-8")


def render_card(facts: CardFacts) -> str:
    task = TASKS.get(facts.intent.get("task_kind", ""))
    return (
        markdown_templates()
        .get_template("dataset_card.md.jinja")
        .render(
            facts=facts,
            front_matter=front_matter(facts),
            task=task[0] if task else "",
            hub_splits=HUB_SPLITS,
            shown_labels=SHOWN_LABELS,
            shown_mappings=SHOWN_MAPPINGS,
        )
    )


def markdown_templates(*folders: Path) -> jinja2.Environment:
    """Return the templates of this folder and of `folders`; a value that is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, TEMPLATES]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "cell": cell, "code": code, "flat": flat, "number": "{:,}".format, "quoted": quoted,
    }  # fmt: skip
    return environment


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


def _names(sources: Sequence[CardSource]) -> str:
    return ", ".join(map(code, dict.fromkeys(flat(source.name) for source in sources)))


def cell(value: Any) -> str:
    return flat(str(value)).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def code(value: Any) -> str:
    """Return a code span that no backtick of the value ends."""
    text = flat(str(value))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def flat(text: str) -> str:
    return " ".join(text.split())


def quoted(text: str) -> str:
    """As a quotation, so that no heading or table of the user's own breaks the card."""
    return "\n".join(f"> {line.replace('<', '&lt;')}".rstrip() for line in text.splitlines())
