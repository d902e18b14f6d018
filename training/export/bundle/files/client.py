#!/usr/bin/env python3
"""Asks the model one question, as it was trained to be asked. Needs nothing but Python 3.9.

    python client.py "your text"
    python client.py --url http://localhost:11434/v1 --model NAME "your text"    (Ollama)

--url is any server that speaks OpenAI's protocol: llama-server of llama.cpp (see run.sh), Ollama,
vLLM. The system prompt beside this file goes along; without it the model is not the one that was
measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", help="what to ask; - reads standard input")
    parser.add_argument("--url", default="http://localhost:8080/v1", help="of the server")
    parser.add_argument("--model", default="model", help="its name there; llama-server takes any")
    parser.add_argument("--key", default="none", help="API key, where the server wants one")
    parser.add_argument("--max-tokens", type=int, default=512)
    args = parser.parse_args()
    text = sys.stdin.read() if args.text == "-" else args.text
    try:
        print(ask(args, text))
    except (urllib.error.URLError, OSError) as error:
        sys.exit(f"{args.url} does not answer: {error}")


def ask(args: argparse.Namespace, text: str) -> str:
    system = (HERE / "system_prompt.txt").read_text(encoding="utf-8")
    messages = [{"role": "system", "content": system}] if system else []
    body = {
        "model": args.model,
        "messages": [*messages, {"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": args.max_tokens,
    }
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {args.key}"}
    request = urllib.request.Request(
        f"{args.url}/chat/completions", json.dumps(body).encode(), headers
    )
    with urllib.request.urlopen(request) as reply:
        return str(json.load(reply)["choices"][0]["message"]["content"])


if __name__ == "__main__":
    main()
