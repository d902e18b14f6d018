"""Rows embedded per second: our Embedder beside SentenceTransformer.encode, and how much we lose.

    python -m benchmarks.embedding --rows 1500

The peer runs as it comes: float32, batches of 32. Both run in turn, several times; the medians
count. CPU seconds say what a machine does that is busy with other work. Recall@10 says how many of
the ten nearest rows by the peer's vectors are among the ten nearest by ours. Rows are a sample of
the public corpus where it is at hand (MODELSTATION_DATA), else of the starter corpus.
"""

import argparse
import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median

import numpy as np

from distillation.pipeline.text import embedding_text
from modelstation.lm.embedding import Vectors, load_embedder, weights_folder
from tools.starter.corpus import starter_rows

REPOSITORY = Path(__file__).resolve().parent.parent
NEAREST = 10


def corpus_files() -> list[Path]:
    data = os.environ.get("MODELSTATION_DATA") or REPOSITORY.parent / "shared" / "data"
    return sorted((Path(data) / "corpus").glob("*.jsonl.gz"))


def corpus_rows() -> Iterator[dict]:
    for path in corpus_files():
        with gzip.open(path, "rt") as lines:
            yield from map(json.loads, lines)


def sample_texts(count: int, seed: int) -> tuple[str, list[str]]:
    """Every row has the same chance, so that the mix of lengths is the corpus's own."""
    name, rows = ("public corpus", corpus_rows()) if corpus_files() else ("starter", starter_rows())
    rng, kept = Random(seed), []
    for number, row in enumerate(rows):
        if number < count:
            kept.append(row)
        elif (place := rng.randrange(number + 1)) < count:
            kept[place] = row
    return name, [embedding_text(row["messages"]) for row in kept]


def plain_encoder() -> Callable[[list[str]], Vectors]:
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        str(weights_folder()), device="cpu", model_kwargs={"dtype": torch.float32}
    )
    return lambda texts: model.encode(texts, show_progress_bar=False, normalize_embeddings=True)


@dataclass
class Timed:
    vectors: Vectors
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)


def in_turn(
    encoders: dict[str, Callable[[list[str]], Vectors]], texts: list[str], repeats: int
) -> dict[str, Timed]:
    timed = {name: Timed(encode(texts[:64])) for name, encode in encoders.items()}
    for _ in range(repeats):
        for name, encode in encoders.items():
            started, cpu_started = time.perf_counter(), time.process_time()
            timed[name].vectors = encode(texts)
            timed[name].seconds.append(time.perf_counter() - started)
            timed[name].cpu_seconds.append(time.process_time() - cpu_started)
    return timed


def recall(ours: Vectors, exact: Vectors, queries: int) -> float:
    """Mean share of the exact ten nearest that ours has too; a row is not its own neighbour."""
    shares = [
        len(nearest(ours, query) & nearest(exact, query)) / NEAREST for query in range(queries)
    ]
    return float(np.mean(shares))


def nearest(vectors: Vectors, query: int) -> set[int]:
    scores = vectors @ vectors[query]
    scores[query] = -2
    return set(np.argpartition(-scores, NEAREST)[:NEAREST].tolist())


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="one is steadier beside other work")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    corpus, texts = sample_texts(options.rows, options.seed)
    embedder = load_embedder()
    encoders = {"SentenceTransformer.encode": plain_encoder(), "ours": embedder.embed}
    peer, ours = in_turn(encoders, texts, options.repeats).values()
    kept = recall(ours.vectors, peer.vectors, min(500, len(texts)))
    tokens = sum(embedder.count_tokens(texts)) / len(texts)
    threads = torch.get_num_threads()
    print(f"{len(texts)} rows of the {corpus}, {tokens:.0f} tokens a row, {threads} threads\n")
    print("| encoder | rows/s | ratio | rows per CPU second | ratio | recall@10 |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, timed, share in (
        ("SentenceTransformer.encode", peer, "reference"),
        ("ours", ours, f"{kept:.3f}"),
    ):
        took, cpu = median(timed.seconds), median(timed.cpu_seconds)
        faster, leaner = median(peer.seconds) / took, median(peer.cpu_seconds) / cpu
        speed, thrift = len(texts) / took, len(texts) / cpu
        print(f"| {name} | {speed:.0f} | {faster:.2f} | {thrift:.0f} | {leaner:.2f} | {share} |")


if __name__ == "__main__":
    main()
