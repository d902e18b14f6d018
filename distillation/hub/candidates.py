"""What is known of one data set of the hub: its files, how its columns are read, how its rows fit.
No Django inside."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from distillation.imports.reading.readers import READERS
from distillation.imports.reading.shapes import ColumnMapping
from distillation.pipeline.licenses import (
    NAMED,
    UNKNOWN,
    LicensePolicy,
    is_non_commercial,
    is_unknown,
)

ENDINGS = tuple(READERS)
SPLIT = re.compile(r"(?:^|[/_.-])(train|validation|valid|dev|test)(?:[/_.-]|$)")
SPLITS = {"valid": "validation", "dev": "validation"}
SHARD = re.compile(r"[-_.]?\d{3,}-of-\d{3,}")
MAX_PARTS, MAX_FILES = 24, 16


@dataclass(frozen=True)
class HubFile:
    path: str
    size: int
    sha256: str = ""  # of large files, which the hub keeps apart


@dataclass(frozen=True)
class Part:
    """Files of one configuration and one split."""

    config: str
    split: str
    files: tuple[HubFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class Listing:
    """One data set as the hub describes it, at one revision."""

    repo_id: str
    revision: str
    license: str = UNKNOWN
    languages: tuple[str, ...] = ()
    downloads: int = 0
    description: str = ""
    gated: bool = False
    parts: tuple[Part, ...] = ()
    needs_script: bool = False
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by column

    @property
    def train(self) -> Part | None:
        """Return the part that rows are taken from unless somebody chooses another."""
        trains = [part for part in self.parts if part.split == "train"]
        return next(iter(trains or self.parts), None)


@dataclass(frozen=True)
class Sample:
    input: str
    output: str


@dataclass(frozen=True)
class Candidate:
    """What is shown of a data set. `problem`: why its rows cannot be taken, or were not read."""

    repo_id: str
    revision: str = ""
    license: str = UNKNOWN
    languages: tuple[str, ...] = ()
    downloads: int = 0
    description: str = ""
    config: str = ""
    split: str = ""
    parts: tuple[str, ...] = ()  # as “config / split”
    bytes: int = 0  # of the part
    rows_read: int = 0
    columns: str = ""  # how they are read, in words
    verdict: str = ""  # of a SourceFit
    fit: str = ""  # in words
    score: float = 0.0
    samples: tuple[Sample, ...] = ()
    problem: str = ""
    problem_code: str = ""

    @property
    def can_be_imported(self) -> bool:
        return not self.problem

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Candidate":
        lists = {name: tuple(stored[name]) for name in ("languages", "parts")}
        samples = tuple(Sample(**sample) for sample in stored["samples"])
        return cls(**{**stored, **lists, "samples": samples})

    def refused(self, problem: str, code: str) -> "Candidate":
        return replace(self, problem=problem, problem_code=code)


@dataclass(frozen=True)
class Plan:
    """How a data set is imported. Without `user` and `assistant`, columns are found by content."""

    config: str = ""
    split: str = ""
    user: str = ""
    assistant: str = ""
    max_rows: int = 5_000

    @property
    def columns(self) -> ColumnMapping | None:
        return ColumnMapping(self.user, self.assistant) if self.user and self.assistant else None


def license_problem(license_name: str, policy: LicensePolicy) -> str:
    """Return why rows of this licence are not taken; '' where they are.

    Of others' data, non-commercial terms must be allowed by their name: that any stated licence
    will do does not mean these.
    """
    if is_unknown(license_name):
        if policy.allows(license_name):
            return ""
        return "Its licence is not stated. The licence policy of your organisation can allow that."
    is_named = policy.kind == NAMED and policy.allows(license_name)
    if is_non_commercial(license_name) and not is_named:
        return f"Its licence, {license_name}, forbids commercial use. A policy may name it."
    if not policy.allows(license_name):
        return f"The licence policy of your organisation keeps {license_name} out."
    return ""


def first_look(listing: Listing, policy: LicensePolicy, *, has_token: bool = False) -> Candidate:
    """Return it as far as its description says, refused where that is enough to.

    Whether a token opens what is gated, the hub says when it is read.
    """
    part = listing.train
    candidate = Candidate(
        repo_id=listing.repo_id,
        revision=listing.revision,
        license=listing.license,
        languages=listing.languages,
        downloads=listing.downloads,
        description=listing.description[:300],
        config=part.config if part else "",
        split=part.split if part else "",
        parts=tuple(f"{part.config} / {part.split}" for part in listing.parts),
        bytes=part.size if part else 0,
    )
    if problem := license_problem(listing.license, policy):
        return candidate.refused(problem, "license")
    if listing.gated and not has_token:
        problem = "It is gated: its terms must be accepted on the hub, with the account of a token."
        return candidate.refused(f"{problem} The settings page takes that token.", "gated")
    if part is None and listing.needs_script:
        problem = "It comes as a program, which is never run here."
        return candidate.refused(problem, "script")
    if part is None:
        problem = f"It holds no file that can be read ({', '.join(ENDINGS)})."
        return candidate.refused(problem, "no_file")
    return candidate


def parts_of(files: Sequence[HubFile], configs: Sequence[Mapping[str, Any]]) -> tuple[Part, ...]:
    """Return its parts, as its card states them or else as its paths look."""
    readable = [file for file in files if file.path.lower().removesuffix(".gz").endswith(ENDINGS)]
    readable = [file for file in readable if not file.path.startswith((".", "README"))]
    stated = list(_stated_parts(readable, configs))
    return tuple((stated or _guessed_parts(readable))[:MAX_PARTS])


def _stated_parts(files: Sequence[HubFile], configs: Sequence[Mapping[str, Any]]) -> list[Part]:
    parts = []
    for config in configs:
        name = str(config.get("config_name", "default"))[:200]
        given = config.get("data_files")
        for entry in given if isinstance(given, list) else []:
            if not isinstance(entry, dict):
                continue
            paths = entry.get("path")
            patterns = [paths] if isinstance(paths, str) else paths or []
            matches = [f for f in files if any(_matches(f.path, str(p)) for p in patterns)]
            if matches:
                split = str(entry.get("split", "train"))[:80]
                parts.append(Part(name, split, tuple(matches[:MAX_FILES])))
    return parts


def _matches(path: str, pattern: str) -> bool:
    """Match as a card's patterns do, but for `*`, which here may stand for folders too."""
    patterns = (pattern, pattern.replace("**/", ""))
    return len(pattern) <= 200 and any(fnmatchcase(path, each) for each in patterns)


def _guessed_parts(files: list[HubFile]) -> list[Part]:
    grouped: dict[tuple[str, str], list[HubFile]] = {}
    for file in files:
        match = SPLIT.search(file.path.lower())
        split = SPLITS.get(match[1], match[1]) if match else "train"
        folder = file.path.rpartition("/")[0]
        folder = "" if folder in ("data", split) else folder
        name = folder or _stem(file.path, match is not None)
        grouped.setdefault((name, split), []).append(file)
    parts = [Part(c, s, tuple(group[:MAX_FILES])) for (c, s), group in grouped.items()]
    return sorted(parts, key=lambda part: (part.config != "default", -part.size))


def _stem(path: str, names_a_split: bool) -> str:
    """A file that is named after a split, or a shard of one, is of the default configuration."""
    base = path.rpartition("/")[2]
    return "default" if names_a_split or SHARD.search(base) else base.split(".")[0]
