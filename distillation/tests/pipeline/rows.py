"""Small rows and a countable embedder for the pipeline's tests."""

import hashlib

import numpy as np

from distillation.pipeline.text import embedding_text, hash_messages, words
from distillation.pipeline.types import Candidate, ScoredRow

DIMENSIONS = 384


class WordsEmbedder:
    """A text's vector counts its words, each in one of 384 places: shared words, higher cosine."""

    def embed(self, texts):
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in words(text):
                place = int(hashlib.sha256(word.encode()).hexdigest(), 16) % DIMENSIONS
                vectors[row, place] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def candidate(
    text, answer, *, source="bank", task="", system="", license="CC-BY-4.0", vector=None, tokens=0
):
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    embedding = WordsEmbedder().embed([embedding_text(messages)])[0]
    content_hash = hash_messages([{"role": "source", "content": source}, *messages])
    return Candidate(
        id=content_hash,
        source_id=source,
        source=source,
        task=task,
        license=license,
        content_hash=content_hash,
        messages=tuple(messages),
        embedding=embedding if vector is None else np.asarray(vector, dtype=np.float32),
        tokens=tokens,
    )


def scored(text, answer, *, score=0.0, query=0, **fields):
    row = candidate(text, answer, **fields)
    return ScoredRow(row, input=text, answer=answer, score=score, relevance=score, query=query)
