"""Serving: our engine and our model server beside transformers.generate and bare llama.cpp.

    python benchmarks/serving.py                 # the whole
    python benchmarks/serving.py --short         # under a minute on two cores

Same weights, prompts and greedy answers to short questions, at most --max-tokens each. Tokens are
those generated; seconds are those of generating, without loading. Arms are interleaved, so that a
busy minute hits them all. Bare llama.cpp is xllamacpp's server in this process on the same file,
with the same threads and prompt ids, at its own defaults. "HTTP" is the real model server process,
asked by the web process's client. Then: what view, client and server take when the engine answers
at once; a cold load; and thirty models under a memory limit that holds eight.
"""

import argparse
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))
os.environ.setdefault("MODELSTATION_VAR", str(REPOSITORY / "var" / "bench-serving"))
os.environ.setdefault("MODELSTATION_MODELS_DIR", str(REPOSITORY / "var" / "models"))
os.environ["DJANGO_SETTINGS_MODULE"] = "modelstation.settings"

import django  # noqa: E402
import psutil  # noqa: E402
import torch  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402

from models_app.serving import client  # noqa: E402
from models_app.serving.engine import (  # noqa: E402
    Completion,
    Engine,
    GenerationConfig,
    _start,
    default_threads,
    memory_needed,
)
from models_app.serving.pool import EnginePool  # noqa: E402
from models_app.serving.server import build_app  # noqa: E402
from modelstation.lm.chat import load_renderer  # noqa: E402
from modelstation.lm.loading import (  # noqa: E402
    base_folder,
    ensure_offline_weights,
    load_causal_lm,
)

MODELS = REPOSITORY / "var" / "models"
BASE = "smollm2-135m-instruct"
FILE = MODELS / BASE / "model-q8_0.gguf"
STREAMS = 8
CONTEXT, SLOTS = 1024, 8
SYSTEM = "Answer the customer of a bank in one or two sentences."
SUBJECTS = ("my card", "a transfer", "an exchange rate", "a refund", "my PIN", "a direct debit")
QUESTIONS = ("What can I do about {}?", "Why is there a fee on {}?", "How long does {} take?")
PEER = "transformers.generate, bf16, one stream"
BARE = "bare llama.cpp, q8_0, one stream"
ENGINE = "ModelStation's engine, q8_0, one stream"
ENGINE_MANY = f"ModelStation's engine, q8_0, {STREAMS} streams"
HTTP = "ModelStation over HTTP, q8_0, one stream"
HTTP_MANY = f"ModelStation over HTTP, q8_0, {STREAMS} streams"
LEAST_OF_PEER, LEAST_OF_BARE, LEAST_OF_ONE = 6.0, 0.95, 1.5
MOST_OVERHEAD_MS, MOST_COLD_S = 5.0, 2.0
MODELS_OF_ALL, MODELS_HELD, ROUNDS = 30, 8, 3
MOST_GROWTH = 0.1  # of resident memory, from the end of the first round to the last
KEY = "a key of the benchmark"


@dataclass(frozen=True)
class Run:
    tokens: int
    seconds: float


def main() -> None:
    options = arguments()
    if options.instant_server:
        serve_instantly(options.instant_server)
        return
    ensure_offline_weights(MODELS)
    print(
        f"{cpu_name()}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f} at the "
        f"start; {BASE}, {options.prompts} prompts, at most {options.max_tokens} tokens each, "
        f"{options.repeat} runs, {default_threads()} threads for llama.cpp\n",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        speed(options)
        verdict(
            "cold load of 135M, seconds", median_cold_load(options.repeat), MOST_COLD_S, most=True
        )
        overhead(options.overhead_requests)
        thirty_models(Path(folder), options.rounds)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--overhead-requests", type=int, default=200)
    parser.add_argument("--instant-server", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--short", action="store_true", help="one small run of everything")
    options = parser.parse_args()
    if options.short:
        options.prompts, options.max_tokens, options.repeat = STREAMS, 24, 1
        options.rounds, options.overhead_requests = 2, 50
    return options


def conversations(count: int, run: int = 0) -> list[list[dict[str, str]]]:
    """Others in each run: whole prompts met again would come from the cache of whoever keeps them.
    The system prompt is shared, as in service.
    """
    texts = [question.format(subject) for question in QUESTIONS for subject in SUBJECTS]
    return [
        [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": f"Case {run}-{number}: {texts[number % len(texts)]}"},
        ]
        for number in range(count)
    ]


def speed(options: argparse.Namespace) -> None:
    config = GenerationConfig(max_new_tokens=options.max_tokens)
    size = {"n_ctx": CONTEXT, "n_parallel": SLOTS}
    own, bare = (
        Engine(FILE, FILE.parent, **size),
        _start(FILE, CONTEXT, default_threads(), SLOTS),
    )
    with model_server() as ask:
        arms = {
            PEER: transformers_arm(options.max_tokens),
            BARE: bare_arm(bare, options.max_tokens),
            ENGINE: lambda chats: one_by_one(lambda chat: own.generate(chat, config), chats),
            ENGINE_MANY: lambda chats: together(lambda chat: own.generate(chat, config), chats),
            HTTP: lambda chats: one_by_one(lambda chat: ask(chat, config), chats),
            HTTP_MANY: lambda chats: together(lambda chat: ask(chat, config), chats),
        }
        found: dict[str, list[Run]] = {name: [] for name in arms}
        for generate in arms.values():
            generate(conversations(STREAMS))  # no arm pays for being first
        for run in range(1, options.repeat + 1):
            for name, generate in arms.items():
                found[name].append(measured(generate, conversations(options.prompts, run)))
    own.close()
    print(table(found), end="\n\n")
    rate = {name: median_rate(runs) for name, runs in found.items()}
    for name in (ENGINE, HTTP):
        verdict(f"{name} : transformers.generate", rate[name] / rate[PEER], LEAST_OF_PEER)
        verdict(f"{name} : bare llama.cpp", rate[name] / rate[BARE], LEAST_OF_BARE)
    verdict("engine, 8 streams : one", rate[ENGINE_MANY] / rate[ENGINE], LEAST_OF_ONE)
    verdict("over HTTP, 8 streams : one", rate[HTTP_MANY] / rate[HTTP], LEAST_OF_ONE)


def transformers_arm(max_tokens: int) -> Callable[[list], int]:
    """Count each answer up to and with the token that ends it."""
    folder = base_folder(MODELS, BASE)
    renderer, model = load_renderer(folder), load_causal_lm(folder, torch.bfloat16).eval()

    def answer(chat: list) -> int:
        ids = torch.tensor([renderer.render_prompt(chat)])
        with torch.inference_mode():
            out = model.generate(ids, max_new_tokens=max_tokens, do_sample=False)
        return out.shape[1] - ids.shape[1]

    return lambda chats: sum(answer(chat) for chat in chats)


def bare_arm(server, max_tokens: int) -> Callable[[list], int]:
    renderer = load_renderer(FILE.parent)

    def answer(chat: list) -> int:
        request = {
            "prompt": renderer.render_prompt(chat),
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        return server.handle_completions(request)["usage"]["completion_tokens"]

    return lambda chats: sum(answer(chat) for chat in chats)


def one_by_one(ask: Callable, chats: list) -> int:
    return sum(ask(chat).completion_tokens for chat in chats)


def together(ask: Callable, chats: list) -> int:
    with ThreadPoolExecutor(STREAMS) as executor:
        return sum(answer.completion_tokens for answer in executor.map(ask, chats))


@contextmanager
def model_server(*command: str) -> Iterator[Callable]:
    """Start a process of its own, streamed from by the web process's client."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    settings.MODEL_SERVER_URL, settings.MODEL_SERVER_KEY = f"http://127.0.0.1:{port}", KEY
    environment = os.environ | {
        "MODEL_SERVER_KEY": KEY,
        "MODEL_SERVER_CONTEXT": str(CONTEXT),
        "MODEL_SERVER_PARALLEL": str(SLOTS),
    }
    command = command or ("-m", "models_app.serving.server", "--port")
    with subprocess.Popen([sys.executable, *command, port], cwd=REPOSITORY, env=environment) as it:
        while not client.health():
            time.sleep(0.05)
        yield lambda chat, config: list(client.stream(FILE, FILE.parent, chat, config))[-1]
        it.terminate()


def median_cold_load(repeat: int) -> float:
    """Until the first token could be decoded; the file is in the page cache."""
    seconds = []
    for _ in range(repeat):
        started = time.perf_counter()
        Engine(FILE, FILE.parent, n_ctx=4096, n_parallel=4).close()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


class InstantEngine:
    """What remains of a request when the engine takes no time."""

    def __init__(self, gguf: Path, tokenizer_folder: Path) -> None:
        pass

    def run(self, messages: list, config: GenerationConfig, on_piece: Callable) -> Completion:
        return Completion("42", 30, 1, "stop")

    def close(self) -> None:
        pass


def overhead(requests: int) -> None:
    """POST /v1/chat/completions by Django's test client: token, lookup, usage row, client, a model
    server in a process of its own, prompt rendered; all but the engine.
    """
    from django.test import Client
    from django.test.utils import setup_databases, setup_test_environment, teardown_databases

    setup_test_environment()
    old = setup_databases(verbosity=0, interactive=False)
    try:
        name, token = demo_model()
        with model_server(__file__, "--instant-server"):
            web = Client(headers={"authorization": f"Bearer {token}"})
            body = {"model": name, "messages": conversations(1)[0]}
            seconds = [timed_request(web, body) for _ in range(requests + 10)][10:]
    finally:
        teardown_databases(old, verbosity=0)
    p50, p95 = statistics.median(seconds) * 1000, sorted(seconds)[int(0.95 * len(seconds))] * 1000
    verdict(f"gateway overhead p50, ms (p95 {p95:.1f})", p50, MOST_OVERHEAD_MS, most=True)


def demo_model() -> tuple[str, str]:
    from accounts.services import create_token
    from modelstation.testing import make_base, make_org, make_user

    user = make_user("bench@example.org")
    org = make_org("Bench", owner=user)
    _, secret = create_token(actor=user, org=org, name="bench")
    make_base(BASE)
    return BASE, secret


def serve_instantly(port: int) -> None:
    import uvicorn

    app = build_app(key=KEY, roots=[MODELS.resolve()], pool=EnginePool(make=InstantEngine))
    uvicorn.run(app, port=port, log_level="warning")


def timed_request(web, body: dict) -> float:
    started = time.perf_counter()
    reply = web.post("/v1/chat/completions", body, content_type="application/json")
    taken = time.perf_counter() - started
    assert reply.status_code == 200, reply.content
    return taken


def thirty_models(folder: Path, rounds: int) -> None:
    """Call copies of the base in turn from several threads; resident memory after each round."""
    size = {"n_ctx": 512, "n_parallel": 2}
    files = [folder / f"{number}.gguf" for number in range(MODELS_OF_ALL)]
    for file in files:
        os.link(FILE, file) if same_disk(FILE, folder) else shutil.copy(FILE, file)
    pool = EnginePool(
        max_bytes=int(MODELS_HELD * 1.1 * memory_needed(FILE, **size)),
        make=lambda gguf, tokenizer: Engine(gguf, tokenizer, **size),
        needed=lambda gguf: memory_needed(gguf, **size),
    )
    ask = GenerationConfig(max_new_tokens=2)

    def use(file: Path) -> None:
        with pool.engine(file, FILE.parent) as engine:
            engine.generate(conversations(1)[0], ask)

    after, most_loaded = [], 0
    for _ in range(rounds):
        with ThreadPoolExecutor(2) as executor:
            for _ in executor.map(use, files):
                most_loaded = max(most_loaded, len(pool))
        after.append(psutil.Process().memory_info().rss)
    held = len(pool)
    pool.close()
    told = ", ".join(f"{each / 2**20:.0f}" for each in after)
    print(
        f"{MODELS_OF_ALL} models, {rounds} rounds: no error; {held} loaded at the end, at most "
        f"{most_loaded}; resident MB after each round: {told}"
    )
    verdict(
        "growth of resident memory after the first round",
        after[-1] / after[0] - 1,
        MOST_GROWTH,
        most=True,
    )


def same_disk(file: Path, folder: Path) -> bool:
    return file.stat().st_dev == folder.stat().st_dev


def measured(generate: Callable[[list], int], chats: list) -> Run:
    started = time.perf_counter()
    tokens = generate(chats)
    return Run(tokens, time.perf_counter() - started)


def table(found: dict[str, list[Run]]) -> str:
    peer = median_rate(found[PEER])
    lines = [
        "| arm | tokens/s, median | lowest to highest | ratio | tokens |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, runs in found.items():
        rates = [run.tokens / run.seconds for run in runs]
        lines.append(
            f"| {name} | {median_rate(runs):.1f} | {min(rates):.1f} to {max(rates):.1f} | "
            f"{median_rate(runs) / peer:.1f} | {runs[-1].tokens} |"
        )
    return "\n".join(lines)


def verdict(what: str, found: float, limit: float, *, most: bool = False) -> None:
    reached = found <= limit if most else found >= limit
    sign = "≤" if most else "≥"
    print(
        f"- {what}: {found:.2f} ({sign} {limit:g}: {'reached' if reached else 'MISSED'})",
        flush=True,
    )


def median_rate(runs: list[Run]) -> float:
    return statistics.median(run.tokens / run.seconds for run in runs)


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
