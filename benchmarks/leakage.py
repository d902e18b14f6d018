"""Are held-out rows kept out of training, also when they come reworded?

    python -m benchmarks.leakage --planted 100 --clean 6000

Plants held-out rows of every public task in the pool, as they are and lightly paraphrased (other
words for some, contractions, courtesies, small words dropped, a typo, clauses swapped; two changes
to a row at least), and counts what each rule refuses. The clean rows are a sample of the public
corpus; a few of them are near twins of a held-out row that the splits had from the beginning, and
count as false alarms all the same. The peer is the usual rule: cosine of at least 0.95.
"""

import argparse
import gzip
import json
import re
from random import Random

import numpy as np

from distillation.pipeline.choose.leakage import LEAK_COSINE, LeakageIndex
from distillation.pipeline.text import embedding_text
from distillation.pipeline.types import Candidate, Example
from modelstation.testing import shared_data

OTHER_WORDS = {
    "how do i": "how can i", "how can i": "how do i", "what is": "what's", "i am": "i'm",
    "i'm": "i am", "do not": "don't", "don't": "do not", "cannot": "can't", "can't": "cannot",
    "can you": "could you", "why is": "how come", "need to": "have to", "want to": "would like to",
    "would like to": "want to", "get": "receive", "buy": "purchase", "help": "assist",
    "show": "display", "find": "locate", "money": "cash", "card": "bank card",
    "children": "kids", "big": "large", "start": "begin", "tell me": "let me know",
    "currently": "right now", "each": "every", "every": "each", "total": "overall",
    "who": "which person", "list": "print", "display": "show", "create": "make",
    "remove": "delete", "file": "document", "specific": "particular", "using": "with",
    "feeling": "doing", "okay": "fine", "yes": "yeah", "really": "truly", "great": "awesome",
    "game": "match", "love": "adore", "watch": "see", "patients": "subjects",
    "study": "investigation", "results": "findings", "whether": "if", "evaluate": "assess",
    "significantly": "markedly", "associated": "linked", "determine": "find out",
}  # fmt: skip
SMALL_WORDS = {"the", "a", "an", "is", "to", "of", "my", "that"}


def paraphrase(text, rng):
    changed = other_words(text, rng, most=max(2, len(text.split()) // 12))
    ways = [greet, thank, mistype, drop_small_words, swap_clauses]
    for way in rng.sample(ways, 2 if changed == text else 1):
        changed = way(changed, rng)
    return changed


def other_words(text, rng, most):
    met = [words for words in OTHER_WORDS if re.search(whole(words), text, re.IGNORECASE)]
    for words in rng.sample(met, min(most, len(met))):
        text = re.sub(whole(words), OTHER_WORDS[words], text, count=1, flags=re.IGNORECASE)
    return text


def whole(words):
    return rf"\b{re.escape(words)}(?!\w)"


def greet(text, rng):
    return rng.choice(["Hi, ", "hello, ", "please, ", "Quick question: "]) + text


def thank(text, rng):
    return text + rng.choice([" thanks", " please", " thank you", " anyone?"])


def mistype(text, rng):
    words = text.split(" ")
    long = [place for place, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    for place in rng.sample(long, min(len(long), max(1, len(words) // 15))):
        word, at = words[place], rng.randrange(1, len(words[place]) - 2)
        words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)


def drop_small_words(text, rng):
    return " ".join(
        w for w in text.split(" ") if w.lower() not in SMALL_WORDS or rng.random() < 0.5
    )


def swap_clauses(text, rng):
    clauses = re.split(r"(?<=[.?!,])\s+", text)
    if len(clauses) > 1:
        at = rng.randrange(len(clauses) - 1)
        clauses[at : at + 2] = reversed(clauses[at : at + 2])
    return " ".join(clauses)


def held_out_texts():
    """Of every task its own, since a customer holds out rows of one task."""
    for path in sorted((shared_data() / "eval").glob("*.jsonl")):
        if ".fixtures." not in path.name:
            lines = path.read_text().splitlines()
            yield path.stem, [embedding_text(json.loads(line)["messages"]) for line in lines]


def clean_texts(count, rng):
    texts = []
    for path in sorted((shared_data() / "corpus").glob("*.jsonl.gz")):
        with gzip.open(path, "rt") as lines:
            texts += [embedding_text(json.loads(line)["messages"]) for line in lines]
    return rng.sample(texts, count)


def candidates(texts, vectors):
    return [
        Candidate(
            id=str(i), source_id="pool", source="pool", task="", license="MIT",
            content_hash=str(i), embedding=vector,
            messages=({"role": "user", "content": text}, {"role": "assistant", "content": "ok"}),
        )
        for i, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]  # fmt: skip


def main():
    from modelstation.lm.embedding import load_embedder

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--planted", type=int, default=100, help="of each kind, over all tasks")
    parser.add_argument("--clean", type=int, default=6_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, embedder = Random(options.seed), load_embedder()
    tasks = dict(held_out_texts())
    texts = [text for found in tasks.values() for text in found]
    vectors = embedder.embed(texts)
    index = LeakageIndex([Example(text, "") for text in texts], vectors)
    planted = rng.sample(texts, options.planted)
    sets = {
        "verbatim": planted,
        "paraphrased": [paraphrase(text, rng) for text in planted],
        "clean": clean_texts(options.clean, rng),
    }
    print(f"{len(texts):,} held-out rows of {len(tasks)} tasks\n")
    print(f"| rows | refused by ours | cosine >= {LEAK_COSINE} alone |\n|---|---:|---:|")
    for name, found in sets.items():
        own = embedder.embed(found)
        ours = np.mean(index.leaks(candidates(found, own)))
        peer = np.mean((own @ vectors.T).max(axis=1) >= LEAK_COSINE)
        print(f"| {len(found):,} {name} | {ours:.1%} | {peer:.1%} |", flush=True)


if __name__ == "__main__":
    main()
