"""An encoder student to take away: its head, the encoder's own weights, the very modules that serve
it here, and a client that needs nothing else; and the proof that it answers as it did here.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from models_app.serving.encoder.engine import EncoderEngine
from models_app.serving.engine import GenerationConfig
from modelstation.core.artifacts import MANIFEST
from modelstation.lm import encoder as package
from modelstation.lm.embedding import weights_folder
from modelstation.lm.encoder.encoders import MINILM
from modelstation.lm.encoder.head import HEAD_FILE, Head
from training.export.bundle.bundle import link_or_copy
from training.progress import ChildError
from training.scoring.generate import HeldOut

MODULES = ("bert.py", "head.py", "ngrams.py")
WEIGHTS = ("config.json", "model.safetensors", "tokenizer.json")
SECONDS = 1800  # for all held-out rows


def copy_encoder(version: Path, out: Path) -> Path:
    """Write encoder/ with all that answers; return it."""
    source, target = version / "encoder", out / "encoder"
    for path in sorted(source.iterdir()):
        if path.name != MANIFEST:
            link_or_copy(path, target / path.name)
    if MINILM in Head.load(source).encoders:
        for name in WEIGHTS:
            link_or_copy(weights_folder() / name, target / MINILM / name)
    modules = Path(next(iter(package.__path__)))
    code = out / "modelstation" / "lm" / "encoder"  # as they import each other
    code.mkdir(parents=True)
    for name in MODULES:
        shutil.copy(modules / name, code / name)
    return target


def served_answers(version: Path, rows: HeldOut, on_done: Callable[[int], None]) -> list[str]:
    """Return the answers of the engine that serves the version here."""
    engine = EncoderEngine(version / "encoder" / HEAD_FILE)
    answers = engine.generate_many(rows.prompts, GenerationConfig(), on_done)
    return [answer.text for answer in answers]


def client_answers(out: Path, texts: Sequence[str]) -> list[str]:
    """Return those of the bundle's own client, in a process that sees nothing of this code."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    command = [sys.executable, "-I", str(out / "client.py"), "--json"]
    ran = subprocess.run(
        command, input=lines, capture_output=True, text=True, cwd=out, timeout=SECONDS, check=False
    )
    if ran.returncode:
        why = (ran.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ChildError("not_exportable", f"The client of the export does not run: {why}")
    return [str(json.loads(line)["label"]) for line in ran.stdout.splitlines()]
