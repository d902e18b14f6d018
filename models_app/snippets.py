"""How to call a model from a terminal and from programs, ready to be copied."""

import json
import shlex
from dataclasses import dataclass

from models_app.models import CustomModel

TOKEN = "MODELSTATION_TOKEN"  # the environment variable that holds an API token
SHOWN_CHARS = 300

Body = dict[str, object]  # the body of a chat completion


@dataclass(frozen=True)
class Snippet:
    name: str
    title: str
    text: str
    note: str = ""


def snippets_for(model: CustomModel, api_url: str) -> list[Snippet]:
    """With the model's own first example as the question."""
    prompt = model.examples[0]["input"][:SHOWN_CHARS] if model.examples else "Hello"
    body: Body = {"model": model.slug, "messages": [{"role": "user", "content": prompt}]}
    snippets = [
        Snippet("curl", "curl", _curl(api_url, body)),
        Snippet("python", "Python", _python(api_url, body), note="pip install openai"),
        Snippet("javascript", "JavaScript", _javascript(api_url, body), note="npm install openai"),
        Snippet("fetch", "fetch", _fetch(api_url, body), note="no package needed"),
    ]
    note = "in the folder of the unpacked export, where its Modelfile lies"
    if not (model.live_version and "encoder" in model.live_version.artifacts):
        snippets.append(Snippet("ollama", "Ollama", _ollama(model.slug, prompt), note=note))
    return snippets


def _curl(api_url: str, body: Body) -> str:
    return (
        f"curl {shlex.quote(f'{api_url}/chat/completions')} \\\n"
        f'  -H "Authorization: Bearer ${TOKEN}" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(_json(body))}"
    )


def _python(api_url: str, body: Body) -> str:
    return f"""import os

from openai import OpenAI

client = OpenAI(base_url={_json(api_url)}, api_key=os.environ["{TOKEN}"])
answer = client.chat.completions.create(
    model={_json(body["model"])},
    messages={_json(body["messages"])},
)
print(answer.choices[0].message.content)"""


def _javascript(api_url: str, body: Body) -> str:
    return f"""import OpenAI from "openai";

const client = new OpenAI({{ baseURL: {_json(api_url)}, apiKey: process.env.{TOKEN} }});
const answer = await client.chat.completions.create({{
  model: {_json(body["model"])},
  messages: {_json(body["messages"])},
}});
console.log(answer.choices[0].message.content);"""


def _fetch(api_url: str, body: Body) -> str:
    return f"""const response = await fetch({_json(f"{api_url}/chat/completions")}, {{
  method: "POST",
  headers: {{
    "Authorization": `Bearer ${{process.env.{TOKEN}}}`,
    "Content-Type": "application/json",
  }},
  body: JSON.stringify({_json(body)}),
}});
const answer = await response.json();
console.log(answer.choices[0].message.content);"""


def _ollama(name: str, prompt: str) -> str:
    return f"ollama create {name} -f Modelfile\nollama run {name} {shlex.quote(prompt)}"


def _json(value: object) -> str:
    """Write what is valid in Python and JavaScript alike: texts, lists and objects of them."""
    return json.dumps(value, ensure_ascii=False).replace("\u2028", "\\u2028")
