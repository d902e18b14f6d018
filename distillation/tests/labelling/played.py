"""A small world to label: messages whose words give their label away, and a worker in the test."""

import numpy as np

from distillation.labelling import runner, services
from distillation.labelling.reading import taken
from distillation.tests.imports.test_known_vectors import CountingEmbedder
from modelstation.core.jobs import jobs
from modelstation.testing import make_model

WORDS = {
    "plumbing": ("leak", "tap", "drain", "pipe", "toilet"),
    "electrical": ("socket", "fuse", "light", "cable", "switch"),
    "pests": ("mice", "ants", "wasps", "moths", "rats"),
}
REQUIREMENT = (
    "Sort each message of a tenant into plumbing, electrical or pests. Answer with the label only."
)


def messages(count):
    """Return (text, label) pairs, every text another one."""
    labels = list(WORDS)
    pairs = []
    for number in range(count):
        label = labels[number % len(labels)]
        first, second = (WORDS[label][(number // k) % 5] for k in (3, 15))
        pairs.append((f"the {first} and the {second} in flat {number}", label))
    return pairs


def encode(texts):
    """Count the words that tell, beside a little noise that is the text's own."""
    known = [word for words in WORDS.values() for word in words]
    rows = np.array([[word in text.split() for word in known] for text in texts], dtype=np.float32)
    noise = [np.random.default_rng(sum(text.encode())).normal(size=16) * 0.1 for text in texts]
    joined = np.hstack([rows, np.array(noise, dtype=np.float32)])
    return joined / np.linalg.norm(joined, axis=1, keepdims=True)


def a_model(org, **fields):
    labels = {"task_kind": "classify", "labels": list(WORDS)}
    wanted = {"name": "Tenants", "requirement": REQUIREMENT, "intent_edits": labels} | fields
    return make_model(org, **wanted)


def add(actor, model, texts):
    return services.add_inputs(actor=actor, model=model, inputs=taken(texts))


def work(model):
    """Run the job that waits, as a worker does."""
    job = model.labelling.__class__.objects.get(model=model).job
    jobs.run_job(str(job.id), lambda job, lease: runner.label(job, lease, encode))
    job.refresh_from_db()
    return job


class Embedders:
    """Stands for the encoder of the corpus."""

    @staticmethod
    def patch(monkeypatch):
        fake = CountingEmbedder()
        monkeypatch.setattr("distillation.labelling.runner.load_embedder", lambda: fake)
        return fake
