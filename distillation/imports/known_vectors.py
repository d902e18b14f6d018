"""Vectors that the corpus holds already, by a hash of their text: the same text is embedded once.

Looked up in public sources and the importing organisation's own alone: whatever another
organisation holds changes nothing about an import, not even its pace.
"""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from django.db import connection
from pgvector import HalfVector

from accounts.models import Organization
from distillation.models import CorpusExample, SourceDataset
from modelstation.lm.embedding import Embedder, Vectors

KNOWN = f"""
    SELECT wanted, embedding::text FROM unnest(%s::bytea[]) AS wanted, LATERAL (
        SELECT embedding FROM {CorpusExample._meta.db_table} AS example
        JOIN {SourceDataset._meta.db_table} AS source ON source.id = example.source_id
        WHERE example.text_hash = wanted AND (source.org_id IS NULL OR source.org_id = %s)
        LIMIT 1
    ) AS found
"""


def text_hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def vectors_of(
    texts: Sequence[str],
    embedder: Embedder,
    *,
    org: Organization | None,
    on_rows: Callable[[int], None],
) -> list[Vectors]:
    """One vector for each text, of which only the new and distinct ones are embedded.

    `on_rows` gets how many texts were processed, repeats included.
    """
    hashes = [text_hash(text) for text in texts]
    vectors = known_vectors(hashes, org)
    fresh = {key: text for key, text in zip(hashes, texts, strict=True) if key not in vectors}
    on_rows(len(texts) - len(fresh))
    if fresh:
        embedded = embedder.embed(list(fresh.values()), on_batch=on_rows)
        vectors |= dict(zip(fresh, embedded, strict=True))
    return [vectors[key] for key in hashes]


def known_vectors(hashes: Sequence[bytes], org: Organization | None) -> dict[bytes, Vectors]:
    with connection.cursor() as cursor:
        cursor.execute(KNOWN, [list(set(hashes)), org.id if org else None])
        result = cursor.fetchall()
    return {
        bytes(key): HalfVector.from_text(vector).to_numpy().astype(np.float32)
        for key, vector in result
    }
