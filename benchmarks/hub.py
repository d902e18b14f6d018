"""Does a search of the hub find the data set that serves, among names that mislead and licences
that forbid?

    python -m benchmarks.hub                       # twelve requirements, 54 data sets
    python -m benchmarks.hub --only banking77_intent tweet_sentiment

The hub is a process of our own (`distillation.tests.hub.fake_hub`); nothing else is contacted. It
holds rows of the public corpus, in files of every kind, under names that say what is in them or do
not; and beside them twins under a non-commercial or no licence, rows of the same topic with another
relation, and names that promise what the rows do not hold. A search sees the requirement and its
examples alone. Printed: the place of the right data set among those whose rows may be taken, the
best one's name, and whether anything that the policy keeps out was taken.
"""

import argparse
import csv
import gzip
import io
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "modelstation.settings")
os.environ.pop("HF_HUB_OFFLINE", None)
django.setup()

import pyarrow as pa  # noqa: E402
from django.conf import settings  # noqa: E402
from huggingface_hub import HfApi  # noqa: E402
from pyarrow import parquet  # noqa: E402

from distillation.hub import runner  # noqa: E402
from distillation.hub.candidates import Candidate  # noqa: E402
from distillation.hub.queries import queries_for  # noqa: E402
from distillation.hub.ranking import Remembering  # noqa: E402
from distillation.pipeline.licenses import LicensePolicy, is_non_commercial, is_unknown  # noqa: E402
from distillation.pipeline.types import Example, Requirement  # noqa: E402
from distillation.pipeline.understand.intent import understand  # noqa: E402
from distillation.tests.hub.fake_hub import FakeDataHub  # noqa: E402
from modelstation.lm.answer_scoring import AnswerScorer, load_scorer  # noqa: E402
from modelstation.lm.embedding import load_embedder  # noqa: E402
from modelstation.testing import shared_data  # noqa: E402

ROWS = 3_000  # of a source, evenly from its file
Pair = tuple[str, str]
CLASSIFY, TAG = "task_categories:text-classification", "task_categories:token-classification"
WRITE, SUMMARY = "task_categories:text-generation", "task_categories:summarization"
ANSWER, SQL = "task_categories:question-answering", "task_categories:table-question-answering"

# source: (name on the hub, licence, tags, kind of file)
SHELF = {
    "banking77": ("polyq/b77-queue", "cc-by-4.0", [CLASSIFY], "parquet"),
    "clinc150": ("oosx/assistant-intents-150", "cc-by-3.0", [CLASSIFY], "csv"),
    "hwu64": ("xl/home-intent-64", "cc-by-4.0", [CLASSIFY], "jsonl"),
    "hwu64_slots": ("xl/home-slots", "cc-by-4.0", [TAG], "jsonl"),
    "snips2017": ("sn/voice-slots", "cc0-1.0", [TAG], "jsonl.gz"),
    "restaurant8k": ("polyq/restaurant-slots", "cc-by-4.0", [TAG], "csv"),
    "dstc8_spans": ("polyq/dialog-spans", "cc-by-sa-4.0", [TAG], "jsonl"),
    "gsm8k": ("oa/grade-school", "mit", [ANSWER], "parquet"),
    "wikisql": ("jk/table-questions", "bsd-3-clause", [SQL], "parquet"),
    "advising_sql": ("jk/advising-sql", "cc-by-4.0", [SQL], "jsonl"),
    "dolly15k": ("dbx/instructions-15k", "cc-by-sa-3.0", [WRITE], "jsonl"),
    "medquad": ("aba/medical-questions", "cc-by-4.0", [ANSWER], "parquet"),
    "mts_dialog": ("aba/mts-notes", "cc-by-4.0", [SUMMARY], "csv"),
    "mts_dialog_backtranslated": ("aba/mts-notes-bt", "cc-by-4.0", [SUMMARY], "csv"),
    "opentriviaqa": ("ub/trivia", "cc-by-sa-4.0", [ANSWER], "json"),
    "tldr_pages": ("tl/pages-en", "cc-by-4.0", [WRITE], "jsonl.gz"),
    "tldr_describe": ("tl/shell-command-explained", "cc-by-4.0", [WRITE], "jsonl"),
    "goemotions": ("mg/ge-comments", "cc-by-4.0", [CLASSIFY], "parquet"),
    "wnut17": ("jr/emerging-2017", "cc-by-4.0", [TAG], "jsonl"),
    "wikigold": ("jr/wikigold-ner", "cc-by-4.0", [TAG], "jsonl"),
    "btc_ner": ("jr/btc", "cc-by-4.0", [TAG], "jsonl"),
    "sec_filings_ner": ("jr/contracts-ner", "cc-by-3.0", [TAG], "jsonl"),
    "anem": ("jr/anatomy-ner", "cc-by-sa-3.0", [TAG], "jsonl"),
    "vader_ratings": ("cj/rated-lines", "mit", [CLASSIFY], "csv"),
    "wikisplit": ("gr/ws-pairs", "cc-by-sa-4.0", ["task_categories:text2text-generation"], "csv"),
    "pubmedqa": ("pq/abstracts-ynm", "mit", [ANSWER, CLASSIFY], "parquet"),
    "pubmedqa_long": ("pq/abstracts-conclusions", "mit", [ANSWER], "parquet"),
    "wordnet_definitions": ("pu/wordnet-glosses", "other", [WRITE], "csv"),
    "ui_translation": ("dj/ui-strings", "bsd-3-clause", ["task_categories:translation"], "csv"),
    "chatterbot_smalltalk": ("cb/chat", "bsd-3-clause", [WRITE], "json"),
}
NAMES = {"wordnet_definitions": {"license_name": "WordNet-3.0"}}


@dataclass(frozen=True)
class Decoy:
    """Made of the rows of a source; `make` changes their relation, a name or a licence the rest."""

    name: str
    source: str
    license: str | None
    tags: Sequence[str]
    make: Callable[[list[Pair]], list[Pair]] = lambda pairs: pairs


def exchanged(pairs: list[Pair]) -> list[Pair]:
    """Give each input the answer of another: the same topic and form, no relation."""
    answers = [answer for _, answer in pairs]
    random.Random(7).shuffle(answers)
    return [(text, answer) for (text, _), answer in zip(pairs, answers, strict=True)]


def by_length(pairs: list[Pair]) -> list[Pair]:
    words = ("short", "medium", "long")
    return [(text, words[min(2, len(text) // 60)]) for text, _ in pairs]


def turned(pairs: list[Pair]) -> list[Pair]:
    return [(answer, text) for text, answer in pairs]


def first_words(pairs: list[Pair]) -> list[Pair]:
    return [(text, " ".join(text.split()[:4])) for text, _ in pairs]


DECOYS = [
    Decoy("finbank/banking-intents", "banking77", "cc-by-nc-4.0", [CLASSIFY]),
    Decoy("finbank/bank-customer-intents", "banking77", None, [CLASSIFY]),
    Decoy("finbank/bank-message-urgency", "banking77", "mit", [CLASSIFY], by_length),
    Decoy("finbank/bank-intent-noisy", "banking77", "mit", [CLASSIFY], exchanged),
    Decoy("mathlab/math-word-problems", "gsm8k", "cc-by-nc-sa-4.0", [ANSWER]),
    Decoy("mathlab/math-problem-titles", "gsm8k", "mit", [ANSWER], first_words),
    Decoy("mathlab/math-trivia", "opentriviaqa", "mit", [ANSWER]),
    Decoy("dbtools/text-to-sql-large", "wikisql", "unknown", [SQL]),
    Decoy("dbtools/sql-to-text", "wikisql", "mit", [SQL], turned),
    Decoy("dbtools/sql-noisy", "wikisql", "mit", [SQL], exchanged),
    Decoy("social/tweet-sentiment", "goemotions", "mit", [CLASSIFY]),
    Decoy("social/sentiment-reviews", "vader_ratings", "cc-by-nc-4.0", [CLASSIFY]),
    Decoy("social/sentiment-noisy", "vader_ratings", "mit", [CLASSIFY], exchanged),
    Decoy("social/emotion-tweets", "vader_ratings", "mit", [CLASSIFY], by_length),
    Decoy("clinic/clinical-dialogue-summaries", "mts_dialog", "cc-by-nc-nd-4.0", [SUMMARY]),
    Decoy("clinic/clinical-dialogue-titles", "mts_dialog", "mit", [SUMMARY], first_words),
    Decoy("clinic/doctor-patient-summary", "medquad", "mit", [SUMMARY]),
    Decoy("shellab/bash-commands", "tldr_pages", "cc-by-nc-4.0", [WRITE]),
    Decoy("shellab/shell-noisy", "tldr_pages", "mit", [WRITE], exchanged),
    Decoy("nerlab/tweet-ner", "wnut17", None, [TAG]),
    Decoy("nerlab/ner-social-media", "vader_ratings", "mit", [TAG], first_words),
    Decoy("biolab/biomedical-yes-no", "pubmedqa", "cc-by-nc-4.0", [CLASSIFY, ANSWER]),
    Decoy("biolab/medical-yes-no-noisy", "pubmedqa", "mit", [CLASSIFY, ANSWER], exchanged),
    Decoy(
        "textlab/sentence-split",
        "wikisplit",
        "cc-by-nc-4.0",
        ["task_categories:text2text-generation"],
    ),
]
OWN = [
    (
        "emotion_of_comments",
        "Tell which feeling a comment on our forum shows: anger, disgust, fear, joy, neutral, "
        "sadness or surprise. One word.",
        "goemotions",
    ),
    (
        "split_sentences",
        "Rewrite a long, complex English sentence as two or more short ones that say the same.",
        "wikisplit",
    ),
]
DEV = {
    "sql-schema-in-prompt": ("wikisql", "advising_sql"),
    "cmd-bash-from-words": ("tldr_pages",),
}


@dataclass(frozen=True)
class Task:
    name: str
    requirement: Requirement
    right: tuple[str, ...]  # names on the hub


def tasks(data: Path) -> list[Task]:
    intents = json.loads((data / "eval" / "intents.json").read_text())["tasks"]
    found = [_task(one["name"], one, one["relevant_sources"]) for one in intents]
    lines = (data / "requirements" / "dev.jsonl").read_text().splitlines()
    for one in map(json.loads, lines):
        if right := DEV.get(one["id"]):
            found.append(_task(one["id"], one, right))
    for name, text, source in OWN:
        pairs = pairs_of(data, source)
        shown = set(spread(pairs, ROWS))
        held = [pair for pair in pairs if pair not in shown]
        chosen = random.Random(1).sample(held, 5)
        examples = [{"input": text, "output": answer} for text, answer in chosen]
        found.append(_task(name, {"requirement": text, "examples": examples}, [source]))
    return found


def _task(name: str, one: dict[str, Any], right: Sequence[str]) -> Task:
    examples = tuple(Example(e["input"], e["output"]) for e in one["examples"])
    requirement = Requirement(
        one["requirement"], one.get("objective", ""), one.get("policy", ""), examples
    )
    return Task(name, requirement, tuple(SHELF[source][0] for source in right))


# --- the hub --------------------------------------------------------------------------------------


@cache
def pairs_of(data: Path, source: str) -> list[Pair]:
    with gzip.open(data / "corpus" / f"{source}.jsonl.gz", "rt") as lines:
        rows = [json.loads(line)["messages"] for line in lines]
    return [(turns[-2]["content"], turns[-1]["content"]) for turns in rows]


def spread(pairs: list[Pair], most: int) -> list[Pair]:
    """Take some, in the order of the file: sorted by label, where the source is."""
    step = max(1, len(pairs) // most)
    return pairs[::step][:most]


def fill(hub: FakeDataHub, data: Path) -> None:
    for source, (name, license_name, tags, kind) in SHELF.items():
        files, card = packed(spread(pairs_of(data, source), ROWS), kind)
        hub.add(
            name, files, license=license_name, tags=tags, card=card | NAMES.get(source, {}),
            downloads=100,
        )  # fmt: skip
    for decoy in DECOYS:
        pairs = decoy.make(spread(pairs_of(data, decoy.source), ROWS))
        files, card = packed(pairs, "jsonl")
        hub.add(
            decoy.name, files, license=decoy.license, tags=list(decoy.tags), card=card,
            downloads=5_000,
        )  # fmt: skip


def packed(pairs: list[Pair], kind: str) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return files as authors publish them, and the card's facts about columns."""
    lines = "\n".join(json.dumps({"prompt": q, "completion": a}) for q, a in pairs).encode()
    match kind:
        case "csv":
            out = io.StringIO()
            csv.writer(out).writerows([("utterance", "category"), *pairs])
            return {"data.csv": out.getvalue().encode()}, {}
        case "json":
            rows = [{"question": q, "answer": a} for q, a in pairs]
            return {"train.json": json.dumps(rows).encode()}, {}
        case "jsonl.gz":
            return {"train.jsonl.gz": gzip.compress(lines)}, {}
        case "parquet":
            return _parquet(pairs)
    return {"train.jsonl": lines}, {}


def _parquet(pairs: list[Pair]) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Labels are numbers, named by the card, as the hub's own library writes them."""
    labels = sorted({answer for _, answer in pairs})
    are_labels = len(labels) <= 200
    answers = [labels.index(a) if are_labels else a for _, a in pairs]
    out = io.BytesIO()
    table = pa.table({"sentence": [q for q, _ in pairs], "label": answers})
    parquet.write_table(table, out, row_group_size=1_000)
    names = {str(number): name for number, name in enumerate(labels)}
    feature = {"name": "label", "dtype": {"class_label": {"names": names}}}
    card = {"dataset_info": {"features": [feature]}} if are_labels else {}
    return {"data/train-00000-of-00001.parquet": out.getvalue()}, card


# --- what is measured -----------------------------------------------------------------------------


def search(api: HfApi, task: Task, scorer: AnswerScorer, embedder: Remembering) -> list[Candidate]:
    intent = understand(task.requirement)
    candidates, rows = runner.look(
        api, queries_for(task.requirement, intent), LicensePolicy(), lambda *_: None
    )
    return runner.ranked(task.requirement, intent, candidates, rows, scorer, embedder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    only, verbose = given.only, given.verbose
    data = shared_data()
    hub = FakeDataHub()
    fill(hub, data)
    settings.HF_ENDPOINT = hub.url
    # Rows of one data set are in many searches here; between searches of people they are not.
    scorer, embedder = load_scorer(settings.MODELS_DIR), Remembering(load_embedder())
    api = HfApi(endpoint=hub.url, token=False)
    print(f"{len(hub.repos)} data sets on the hub\n")
    print("| requirement | looked at | ranked | place | best | verdict of it | s |")
    print("|---|---:|---:|---:|---|---|---:|")
    places, taken = [], 0
    for task in tasks(data):
        if only and task.name not in only:
            continue
        started = time.monotonic()
        found = search(api, task, scorer, embedder)
        open_ones = [each for each in found if each.can_be_imported]
        names = [each.repo_id for each in open_ones]
        place = min((names.index(name) + 1 for name in task.right if name in names), default=0)
        places.append(place)
        taken += sum(
            is_unknown(each.license) or is_non_commercial(each.license) for each in open_ones
        )
        best = open_ones[0]
        print(
            f"| {task.name} | {len(found)} | {len(names)} | {place or '–'} | {best.repo_id} | "
            f"{best.verdict} | {time.monotonic() - started:.0f} |",
            flush=True,
        )
        for each in open_ones[: 6 if verbose else 0]:
            print("   ", each.repo_id, each.verdict, each.score, each.fit, flush=True)
    good = sum(place in (1, 2) for place in places)
    print(f"\nfirst or second: {good} of {len(places)}; non-commercial or unknown taken: {taken}")
    hub.close()


if __name__ == "__main__":
    main()
