#!/bin/sh
# Serves the model on http://localhost:8080/v1 with llama.cpp (llama-server must be installed):
#   sh run.sh            then, in another terminal: python client.py "your text"
set -eu
cd "$(dirname "$0")"
exec llama-server --model "${MODEL:-__GGUF__}" --port "${PORT:-8080}" \
    --ctx-size __CONTEXT__ --jinja --temp 0 "$@"
