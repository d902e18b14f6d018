"""The encoder student on the held-out tasks with labels, beside tf-idf and frozen vectors alone.

    MODELSTATION_DATA=… python -m benchmarks.encoder --rows 1000 --seeds 3

Trains on rows of the task's own source (the nearest one, where the corpus holds none), a tenth of
them kept for validation, and answers the official test rows through the engine that serves. The
rivals get the same training rows; their settings are scikit-learn's usual ones.
"""

import argparse
import gzip
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from modelstation.lm.encoder.encoders import MINILM, REVISIONS, load_encoder
from training.encoder.features import vectors_of
from training.encoder.fitting import Rows, fit

TASKS = {
    "banking77_intent": ["banking77"],
    "tweet_sentiment": ["vader_ratings"],
    "pubmedqa": ["pubmedqa"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    data = Path(os.environ["MODELSTATION_DATA"])
    print(f"load {os.getloadavg()[0]:.1f} at the start\n")
    print("| task | encoder | tf-idf + linear | vectors + linear | seconds | ECE | ms, p50 | KB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for task, sources in TASKS.items():
        runs = [one(data, task, sources, options.rows, seed) for seed in range(options.seeds)]
        columns = list(zip(*runs, strict=True))
        print(
            f"| {task} | " + " | ".join(f"{statistics.mean(c):.3f}" for c in columns),
            "|",
            flush=True,
        )


def one(data: Path, task: str, sources: list[str], count: int, seed: int) -> list[float]:
    pool = [row for name in sources for row in read(data / "corpus" / f"{name}.jsonl.gz")]
    rows = balanced(pool, count, seed)
    train, valid = rows[len(rows) // 10 :], rows[: len(rows) // 10]
    test = read(data / "eval" / f"{task}.jsonl")
    started = time.monotonic()
    texts = {name: [x for x, _ in part] for name, part in (("train", train), ("valid", valid))}
    vectors = vectors_of(texts["train"], texts["valid"])
    fitted = fit(parts(train), parts(valid), vectors, REVISIONS)
    seconds = time.monotonic() - started
    with tempfile.TemporaryDirectory() as folder:
        fitted.head.save(Path(folder))
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e3
    encoders = {name: load_encoder(name) for name in fitted.head.encoders}
    right, sure, took = [], [], []
    for text, label in test:
        began = time.perf_counter()
        probabilities = fitted.head.probabilities(text, encoders)
        took.append(time.perf_counter() - began)
        right.append(fitted.head.settings.labels[probabilities.argmax()] == label)
        sure.append(probabilities.max())
    print("<!--", task, seed, dict(fitted.head.settings.parts), f"{fitted.accuracy:.3f}", "-->")
    return [
        float(np.mean(right)),
        tf_idf_linear(train, test),
        vectors_linear(train, test, vectors[MINILM][0]),
        seconds,
        ece(np.array(sure), np.array(right)),
        1000 * statistics.median(took),
        size,
    ]


def tf_idf_linear(train, test) -> float:
    pairs = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    )
    model = make_pipeline(pairs, LogisticRegression(C=10, max_iter=300))
    model.fit([x for x, _ in train], [y for _, y in train])
    return float(np.mean(model.predict([x for x, _ in test]) == [y for _, y in test]))


def vectors_linear(train, test, vectors) -> float:
    from modelstation.lm.embedding import load_embedder

    model = LogisticRegression(C=10, max_iter=300).fit(vectors, [y for _, y in train])
    wanted = [y for _, y in test]
    return float(np.mean(model.predict(load_embedder().embed([x for x, _ in test])) == wanted))


def ece(sure, right) -> float:
    bins = np.minimum((sure * 10).astype(int), 9)
    gaps = [abs(sure[bins == n].sum() - right[bins == n].sum()) for n in range(10)]
    return float(sum(gaps) / len(right))


def read(path: Path) -> list[tuple[str, str]]:
    content = path.read_bytes()
    lines = (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines()
    turns = [json.loads(line)["messages"] for line in lines if line.strip()]
    return [(each[-2]["content"], each[-1]["content"]) for each in turns]


def balanced(rows, count: int, seed: int):
    """As the selection does: as many of each label as there are, up to an equal share."""
    rows, by_label, taken = list(dict.fromkeys(rows)), {}, []
    random.Random(seed).shuffle(rows)
    for row in rows:
        by_label.setdefault(row[1], []).append(row)
    while len(taken) < count and any(by_label.values()):
        taken += [rows.pop() for rows in by_label.values() if rows]
    taken = taken[:count]
    random.Random(seed).shuffle(taken)
    return taken


def parts(rows) -> Rows:
    return Rows([x for x, _ in rows], [y for _, y in rows])


if __name__ == "__main__":
    main()
