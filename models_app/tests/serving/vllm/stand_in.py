"""A stand-in of vLLM's OpenAI server with runtime LoRA updating, as its source has the shapes: what
it does not know is refused, and its answers are cut, held back and told as vLLM's are.
"""

import asyncio
import json
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from tokenizers import Tokenizer

from models_app.serving.vllm.engine import Adapter

KEY = "key of vllm"
BASE = "tiny-base"
HELLO = [{"role": "user", "content": "Please answer."}]
PATIENCE_S = 20
FIELDS = {
    "model": str,
    "prompt": list,
    "max_tokens": int,
    "temperature": (int, float),
    "top_p": (int, float),
    "top_k": int,
    "min_p": (int, float),
    "repetition_penalty": (int, float),
    "cache_salt": str,
    "stop": list,
    "stop_token_ids": list,
    "presence_penalty": (int, float),
    "frequency_penalty": (int, float),
    "logit_bias": dict,
    "seed": int,
    "logprobs": int,
    "return_tokens_as_token_ids": bool,
    "response_format": dict,
    "stream": bool,
    "stream_options": dict,
}


class StandIn:
    """`answer`: the token ids that a model would write; `alternatives`: told at each of them."""

    def __init__(self, folder):
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.end = self.tokenizer.token_to_id("<|im_end|>")
        self.begin_anew()
        deeds = {
            "load_lora_adapter": self.load,
            "unload_lora_adapter": self.unload,
            "completions": self.completions,
        }
        routes = [Route(f"/v1/{n}", door(deed), methods=["POST"]) for n, deed in deeds.items()]
        told = [Route("/v1/models", door(self.models)), Route("/health", self.health)]
        self.app = Starlette(routes=[*told, *routes])

    def begin_anew(self):
        self.adapters, self.asked, self.loads, self.unloaded = {}, [], [], []
        self.base, self.max_model_len = BASE, 200
        self.answer = [*self.ids("a"), *self.ids("b"), self.end]
        self.alternatives = []
        self.fails_with = self.fails_to_load = self.fails_to_unload = None
        self.stream_ends = ""  # "error", "old error", "cut", "never"
        self.gates = {}  # of adapters that load slowly, by path
        self.holds = None  # an event until which no answer is given
        self.left = threading.Event()  # somebody hung up

    def restart(self, base=BASE):
        self.base, self.adapters = base, {}

    def ids(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    async def health(self, request):
        return PlainTextResponse("")

    async def models(self, request):
        base = {"id": self.base, "root": "/models/tiny", "parent": None}
        cards = [base | {"max_model_len": self.max_model_len}]
        for name, path in self.adapters.items():
            cards.append({"id": name, "root": path, "parent": self.base, "max_model_len": None})
        common = {"object": "model", "created": 1, "owned_by": "vllm", "permission": []}
        return JSONResponse({"object": "list", "data": [common | card for card in cards]})

    async def load(self, request):
        body = await request.json()
        if set(body) != {"lora_name", "lora_path"}:
            return error(400, "Both 'lora_name' and 'lora_path' must be provided.")
        name, path = body["lora_name"], body["lora_path"]
        self.loads.append(name)
        if gate := self.gates.get(path):
            await run_in_threadpool(gate.wait, PATIENCE_S)
        if self.fails_to_load:
            return error(*self.fails_to_load)
        if name in self.adapters:
            return error(400, f"The lora adapter '{name}' has already been loaded. If you want …")
        self.adapters[name] = path
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def unload(self, request):
        name = (await request.json())["lora_name"]
        if self.fails_to_unload:
            return error(*self.fails_to_unload)
        if name not in self.adapters:
            return error(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
        del self.adapters[name]
        self.unloaded.append(name)
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    async def completions(self, request):
        body = await request.json()
        self.asked.append(body)
        if self.holds:
            await run_in_threadpool(self.holds.wait, PATIENCE_S)
        if self.fails_with:
            return error(*self.fails_with)
        if (problem := self.problem(body)) is not None:
            return problem
        if body.get("stream"):
            return StreamingResponse(self.events(body), media_type="text/event-stream")
        steps = list(self.steps(body))
        tokens = [token for step in steps for token in step["tokens"]]
        choice = self.choice(body, "".join(step["text"] for step in steps), tokens, steps[-1])
        return JSONResponse(self.chunk(body, [choice]) | {"usage": usage(body, tokens)})

    def problem(self, body):
        for name, value in body.items():
            if name not in FIELDS or not isinstance(value, FIELDS[name]):
                return error(400, f"Extra or wrong input: {name}")
        if not all(isinstance(token, int) for token in body["prompt"]):
            return error(400, "prompt must be token ids")
        if not all(key.isdigit() for key in body["logit_bias"]):
            return error(400, "logit_bias keys must be token ids")
        if body["model"] not in {self.base, *self.adapters}:
            return error(404, f"The model `{body['model']}` does not exist.", "NotFoundError")
        count, wanted = len(body["prompt"]), body["max_tokens"]
        if count + wanted > self.max_model_len:
            message = (
                f"You passed {count} input tokens and requested {wanted} output tokens. However, "
                f"the model's context length is only {self.max_model_len} tokens."
            )
            return error(400, message)
        return None

    def steps(self, body):
        """A token each, the last of them with the reason to end."""
        stops, held_back = body["stop"], max(map(len, body["stop"]), default=1) - 1
        shown = 0
        for place, token in enumerate(self.answer, start=1):
            text = self.tokenizer.decode(self.answer[:place]).rstrip("\ufffd")
            stop = next((stop for stop in stops if stop in text), None)
            reason, why = None, None
            if stop:
                text, reason, why = text[: text.index(stop)], "stop", stop
            elif token in body["stop_token_ids"]:
                reason, why = "stop", token
            elif place == min(len(self.answer), body["max_tokens"]):
                reason = "length"
            until = len(text) if reason else max(shown, len(text) - held_back)
            yield {"text": text[shown:until], "tokens": [token], "reason": reason, "why": why}
            shown = until
            if reason:
                return

    def choice(self, body, text, tokens, step):
        return {
            "index": 0,
            "text": text,
            "logprobs": self.logprobs(body, tokens) if "logprobs" in body else None,
            "finish_reason": step["reason"],
            "stop_reason": step["why"],
        }

    def logprobs(self, body, tokens):
        """The alternatives are keys of a mapping: of two with one name, one is lost."""
        n_top = body["logprobs"]
        named = [self.named(token, body) for token in tokens]
        others = {self.named(t, body): -2.0 - n for n, t in enumerate(self.alternatives[:n_top])}
        return {
            "text_offset": list(range(len(tokens))),
            "tokens": named,
            "token_logprobs": [-0.5 for _ in tokens],
            "top_logprobs": [{name: -0.5} | others for name in named],
        }

    def named(self, token, body):
        by_id = body.get("return_tokens_as_token_ids")
        return f"token_id:{token}" if by_id else self.tokenizer.decode([token])

    def chunk(self, body, choices):
        return {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 1,
            "model": body["model"],
            "choices": choices,
        }

    async def events(self, body):
        tokens = []
        try:
            for step in self.steps(body):
                tokens += step["tokens"]
                choice = self.choice(body, step["text"], step["tokens"], step)
                yield line(self.chunk(body, [choice]))
                if self.stream_ends == "cut":
                    raise ConnectionError("as when the machine goes")
                if self.stream_ends == "never":
                    await asyncio.Event().wait()
                if self.stream_ends:
                    yield line(broken(nested=self.stream_ends == "error"))
                    yield "data: [DONE]\n\n"
                    return
            if body["stream_options"]["include_usage"]:
                yield line(self.chunk(body, []) | {"usage": usage(body, tokens)})
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.left.set()
            raise


def door(inside):
    async def answer(request):
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"error": "Unauthorized"}, 401)
        return await inside(request)

    return answer


def adapter(version="v", org="org"):
    return Adapter(org, version, Path("/artifacts") / version / "adapter")


def error(status, message, kind="BadRequestError"):
    told = {"message": message, "type": kind, "param": None, "code": status}
    return JSONResponse({"error": told}, status)


def broken(*, nested):
    told = {"message": "EngineCore died", "type": "InternalServerError", "param": None, "code": 500}
    return {"error": told} if nested else {"object": "error", **told}


def line(event):
    return f"data: {json.dumps(event)}\n\n"


def usage(body, tokens):
    count = len(body["prompt"])
    return {
        "prompt_tokens": count,
        "completion_tokens": len(tokens),
        "total_tokens": count + len(tokens),
        "prompt_tokens_details": {"cached_tokens": 3},
    }


@contextmanager
def served(stand_in):
    """Its address while it runs."""
    server = uvicorn.Server(uvicorn.Config(stand_in.app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
