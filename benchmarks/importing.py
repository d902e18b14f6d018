"""Rows imported per second, and the memory that it takes: an upload of many rows, loaded as a
worker loads it, in a process of its own.

    python -m benchmarks.importing --rows 1000000 --embedder words

The file is made up: chat rows of varied lengths, a hundredth of them repeated and a hundredth
broken, packed with gzip. `words` hashes words into vectors, to measure the importer alone; `real`
embeds as the product does. Peak memory is read before the job and after it, and once more for a
tenth of the rows, to see what grows with them. The rows go into a database of their own under
--folder, which is removed at the end.
"""

import argparse
import gzip
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from random import Random

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
DIMENSIONS = 384
VOCABULARY = 20_000


class WordsEmbedder:
    """Counts words, each in one of 384 places: quick, and no two rows are alike."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def embed(self, texts, *, on_batch=None):
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.split():
                vectors[row, self._place(word)] += 1
        if on_batch:
            on_batch(len(texts))
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def count_tokens(self, texts):
        return [len(text.split()) for text in texts]

    def _place(self, word: str) -> int:
        if word not in self._places and len(self._places) < VOCABULARY:
            self._places[word] = _hashed(word)
        return self._places.get(word) or _hashed(word)


def _hashed(word: str) -> int:
    return int.from_bytes(blake2b(word.encode(), digest_size=4).digest()) % DIMENSIONS


def lines(rows: int, seed: int) -> Iterator[str]:
    rng = Random(seed)
    words = [f"{a}{b}" for a in ("ba", "ko", "mi", "ru", "te") for b in range(400)]
    for number in range(rows):
        if number % 100 == 50:
            yield '{"messages": [{"role": "user", "content": "cut'
            continue
        asked = " ".join(rng.choices(words, k=rng.choice((6, 12, 12, 30, 80))))
        answered = " ".join(rng.choices(words, k=rng.choice((1, 1, 4, 40))))
        if number % 100 == 1:
            asked = answered = "repeated"
        else:
            asked = f"{asked} {number}"
        turns = [("user", asked), ("assistant", answered)]
        messages = [{"role": role, "content": content} for role, content in turns]
        yield json.dumps({"messages": messages, "task": f"task {number % 7}"})


def make_file(path: Path, rows: int) -> int:
    with gzip.open(path, "wt", compresslevel=1) as out:
        out.writelines(line + "\n" for line in lines(rows, seed=1))
    return path.stat().st_size


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def worker(rows: int, embedder: str, folder: Path) -> dict:
    """Set up a database, upload, confirm, do what a worker does; report what it took."""
    os.environ["MODELSTATION_VAR"] = str(folder)
    os.environ["DJANGO_SETTINGS_MODULE"] = "modelstation.settings"
    import django

    django.setup()
    from django.db import connection

    from accounts.models import User
    from accounts.services import create_organization
    from distillation import tasks
    from distillation.imports import services as imports
    from distillation.imports import uploads
    from modelstation.lm import embedding
    from modelstation.site import installation

    installation.prepare_schema()
    if embedder == "words":
        embedding.load_embedder = WordsEmbedder
    else:
        embedding.load_embedder()
    actor = User.objects.create_user(f"bench-{rows}@example.org")
    org = create_organization(actor=actor, name=f"bench {rows}")
    file = uploads.ReceivedFile("rows.jsonl.gz", None, None)
    file.size = make_file(Path(file.temporary_file_path()), rows)
    run = imports.upload(actor=actor, org=org, file=file, draft=imports.ImportDraft(source="rows"))
    run = imports.confirm_import(actor=actor, run=run, draft=imports.draft_of(run))
    before, started = peak_mb(), time.perf_counter()
    tasks.run_import(str(run.job_id))
    seconds = time.perf_counter() - started
    run.refresh_from_db()
    assert run.state == "done", run.error_text
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        size = cursor.fetchone()[0]
    return {
        "rows": run.rows_read,
        "added": run.rows_added,
        "duplicate": run.rows_duplicate,
        "rejected": run.rows_rejected,
        "packed_mb": run.upload_bytes / 1e6,
        "seconds": seconds,
        "before_mb": before,
        "peak_mb": peak_mb(),
        "database_mb": size / 1e6,
    }


def measured(rows: int, embedder: str, folder: Path) -> dict:
    """In a process of its own, whose peak is nobody else's."""
    command = [sys.executable, "-m", "benchmarks.importing", "--worker", str(folder)]
    command += ["--rows", str(rows), "--embedder", embedder]
    done = subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--embedder", choices=("words", "real"), default="words")
    parser.add_argument("--folder", type=Path, help="where its database may lie")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        print(json.dumps(worker(asked.rows, asked.embedder, asked.worker)))
        return
    folder = Path(tempfile.mkdtemp(prefix="importing-", dir=asked.folder))
    print(f"embedder: {asked.embedder}, {os.cpu_count()} cores\n")
    print("| rows | added | seconds | rows/s | MB before | peak MB | packed MB | database MB |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    try:
        for rows in (asked.rows // 10, asked.rows):
            told = measured(rows, asked.embedder, folder)
            print(
                f"| {told['rows']:,} | {told['added']:,} | {told['seconds']:.0f} "
                f"| {told['rows'] / told['seconds']:,.0f} | {told['before_mb']:.0f} "
                f"| {told['peak_mb']:.0f} | {told['packed_mb']:.0f} | {told['database_mb']:.0f} |",
                flush=True,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
