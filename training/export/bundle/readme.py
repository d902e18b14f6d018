"""README.md of an export: what is in it, how to check it, how to run it."""

from collections.abc import Mapping, Sequence
from typing import Any

from distillation.pipeline.card import flat
from training.export.bundle.artifacts import ARTIFACTS
from training.export.bundle.card import ModelFacts

CHECK = """\
## Check it

    python verify.py --key HEX

HEX is the public key of the installation that made this, as its export page shows it. Every file's
SHA-256 stands in `manifest.json`, which is signed (Ed25519) in `manifest.sig`."""
RUN_GGUF = """\
## Run it

    sh run.sh                          # llama.cpp's llama-server on port 8080
    python client.py "your text"

or with Ollama:

    ollama create my-model -f Modelfile
    python client.py --url http://localhost:11434/v1 --model my-model "your text"

or with the `openai` package:

```python
from openai import OpenAI

client = OpenAI(base_url="http://localhost:8080/v1", api_key="none")
system = open("system_prompt.txt", encoding="utf-8").read()
messages = [{"role": "system", "content": system}, {"role": "user", "content": "your text"}]
answer = client.chat.completions.create(model="model", messages=messages, temperature=0)
print(answer.choices[0].message.content)
```"""
RUN_WEIGHTS = """\
## Run it

Load the folder with transformers (`AutoModelForCausalLM.from_pretrained`) or PEFT, or serve it with
vLLM (`vllm serve merged`) and ask it with `client.py --url http://localhost:8000/v1`."""
PROMPT = (
    "The system prompt in `system_prompt.txt` belongs to the model: it was trained and measured "
    "with it. Sampling off (temperature 0) is how it was measured."
)


def render_readme(
    facts: ModelFacts, artifacts: Sequence[str], certificate: Mapping[str, Any]
) -> str:
    contents = [f"- `{ARTIFACTS[name].path}`: {ARTIFACTS[name].contents}" for name in artifacts]
    has_gguf = any(ARTIFACTS[name].quantisation for name in artifacts)
    sections = [
        f"# {flat(facts.title)}",
        "\n".join(contents),
        f"`MODEL_CARD.md` tells what it is and how good; parity certificate: "
        f"**{certificate['verdict']}** (`certificate.json`).",
        CHECK,
        RUN_GGUF if has_gguf else RUN_WEIGHTS,
        PROMPT,
        "Licences and attributions: `NOTICE`, `LICENSES/`.",
    ]
    return "\n\n".join(sections) + "\n"
