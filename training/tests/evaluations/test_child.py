"""The evaluation child: what both models are given, and what is written about their answers."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest

from distillation.pipeline.coverage import coverage_of
from modelstation.core.artifacts import verify
from modelstation.lm.chat import load_renderer
from modelstation.lm.gguf.export import export_gguf
from modelstation.lm.testing import make_tiny_llama
from training.evaluations import child as evaluator
from training.evaluations.spec import EvaluationSpec
from training.progress import Channel, ChildError
from training.scoring import generate
from training.scoring.generate import Generated, answer_budget, held_out
from training.scoring.metrics import METRICS, MODEL_METRICS
from training.scoring.probes import all_probes


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = make_tiny_llama(tmp_path_factory.mktemp("tiny"))
    export_gguf(folder, folder / "model-q8_0.gguf")
    return folder


def row(question, answer, system="The row's own prompt."):
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]


def write_spec(folder, tiny, **values):
    rows = [row(f"the question {i}", "yes" if i % 2 else "no") for i in range(6)]
    (folder / "test.jsonl").write_text(
        "".join(json.dumps({"messages": messages}) + "\n" for messages in rows)
    )
    engine = {"gguf": str(tiny / "model-q8_0.gguf"), "tokenizer_folder": str(tiny)}
    spec = {
        "test_file": str(folder / "test.jsonl"),
        "base": engine,
        "tuned": engine,
        "system_prompt": "The model's prompt.",
        "metric": "exact_match",
        "criteria": ["Accuracy of at least 50%"],
        "out_dir": str(folder / "out"),
        "seed": 0,
        "probes": False,
        **values,
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    return spec


def quiet():
    return Channel(open(os.devnull, "w"))  # noqa: SIM115


def answering(monkeypatch, base, tuned):
    """Stands in for the engine: the tuned model is the second one to answer."""
    sides, requests = iter([base, tuned]), []

    def generated(gguf, tokenizer_folder, prompts, *, max_tokens, on_done, timed=0):
        requests.append((prompts, max_tokens))
        return Generated(next(sides), seconds=2.0, answer_tokens=10, cut_off=1)

    monkeypatch.setattr(generate, "generate", generated)
    return requests


def test_a_run_through_the_engine_writes_a_report_and_says_its_verdict(tmp_path, tiny):
    """Base and tuned are one model here: their answers are the same: no gain."""
    write_spec(tmp_path, tiny, max_tokens=8)
    child = subprocess.run(
        [sys.executable, "-m", "training.evaluations.child", str(tmp_path / "spec.json")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert child.returncode == 0, child.stderr
    events = [json.loads(line) for line in child.stdout.splitlines()]
    stages = list(dict.fromkeys(e["stage"] for e in events if e["event"] == "progress"))
    assert stages == ["generate_base", "generate_tuned"]
    result = events[-1]
    assert result["event"] == "result"
    assert result["n_test"] == 6
    outcomes = [check["outcome"] for check in result["criteria"]]
    assert (result["verdict"], outcomes) == ("inconclusive", ["inconclusive"] * 2)
    assert result["base"]["score"] == result["tuned"]["score"]
    assert result["baseline"] == {
        "name": "majority answer",
        "score": 0.5,
        "all": {"majority answer": 0.5, "copy of the input": 0.0, "empty answer": 0.0},
    }
    verify(tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "out" / "rows.jsonl").open()]
    assert sorted(row["index"] for row in rows) == list(range(6))
    assert all({"input", "reference", "base", "tuned"} <= row.keys() for row in rows)


def test_both_models_get_the_models_prompt_and_the_rows_question(tmp_path, tiny, monkeypatch):
    spec = write_spec(tmp_path, tiny)
    requests = answering(monkeypatch, ["no"] * 6, ["no", "yes"] * 3)
    result = evaluator.run_evaluation(EvaluationSpec.from_json(spec), quiet())
    assert requests[0] == requests[1]
    assert requests[0][0][0] == [
        {"role": "system", "content": "The model's prompt."},
        {"role": "user", "content": "the question 0"},
    ]
    assert (result["base"]["score"], result["tuned"]["score"]) == (0.5, 1.0)
    assert result["base"]["tokens_per_second"] == 5
    assert [check["metric"] for check in result["criteria"]] == ["exact_match", "beats_base"]


def test_a_base_that_is_told_more_gets_its_own_prompt(tmp_path, tiny, monkeypatch):
    spec = write_spec(tmp_path, tiny)
    spec["base"] = spec["base"] | {"system_prompt": "Answer with one of: yes, no."}
    requests = answering(monkeypatch, ["no"] * 6, ["no", "yes"] * 3)
    evaluator.run_evaluation(EvaluationSpec.from_json(spec), quiet())
    prompts = [prompts[0][0]["content"] for prompts, _ in requests]
    assert prompts == ["Answer with one of: yes, no.", "The model's prompt."]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["base_system_prompt"] == "Answer with one of: yes, no."


def test_the_report_says_what_was_never_shown_and_which_labels_are_doubtful(
    tmp_path, tiny, monkeypatch
):
    coverage = asdict(coverage_of(["yes"], ["yes", "no"] * 3, "classify"))
    spec = write_spec(tmp_path, tiny, coverage=coverage, doubtful_rows=2)
    answering(monkeypatch, ["no"] * 6, ["no", "yes"] * 3)
    result = evaluator.run_evaluation(EvaluationSpec.from_json(spec), quiet())
    assert result["verdict"] == "inconclusive"
    assert "no (3). 3 of 6 held-out rows (50.0%)" in result["criteria"][-1]["sentence"]
    assert "2 of 6 held-out rows (33.3%) likely have a wrong label" in result["note"]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["doubtful_rows"] == 2


def test_the_report_on_disk_keeps_the_request_and_the_result(tmp_path, tiny, monkeypatch):
    spec = write_spec(tmp_path, tiny, criteria=["Be kind."])
    answering(monkeypatch, ["no"] * 6, ["no", "yes"] * 3)
    result = evaluator.run_evaluation(EvaluationSpec.from_json(spec), quiet())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["system_prompt"] == "The model's prompt."
    assert report["max_tokens"] == generate.LEAST_ANSWER_TOKENS
    assert {name: report[name] for name in result} == result
    assert report["unread_criteria"] == ["Be kind."]


def test_without_a_prompt_of_the_model_the_rows_own_stands():
    conversations = [row("a", "b"), row("c", "d", system="Another.")]
    assert [p[0]["content"] for p in held_out(conversations, "").prompts] == [
        "The row's own prompt.",
        "Another.",
    ]


def test_earlier_turns_stay_in_the_prompt_and_the_last_question_is_the_input():
    turns = [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": "second"},
        {"role": "assistant", "content": "reference"},
    ]
    result = held_out([turns], "Prompt.")
    assert [turn["content"] for turn in result.prompts[0]] == [
        "Prompt.",
        "first",
        "answer",
        "second",
    ]
    assert (result.inputs, result.references) == (["second"], ["reference"])


def test_the_answer_budget_fits_the_longest_reference_within_a_cap(tiny):
    renderer = load_renderer(tiny)
    long = "0 " * 100
    assert answer_budget(["yes"], renderer) == generate.LEAST_ANSWER_TOKENS
    assert answer_budget(["yes", long], renderer) >= renderer.count_tokens(long) * 1.25
    assert answer_budget([long * 50], renderer) == generate.MOST_ANSWER_TOKENS


@pytest.mark.parametrize(
    ("values", "code", "said"),
    [
        ({"metric": "bleu"}, "bad_spec", "Unknown metric 'bleu'"),
        ({"metric": ""}, "bad_spec", "Unknown metric ''"),
        ({"metric": None}, "bad_spec", "is wrong: .*\nmetric\n"),
        ({"criteria": [{"metric": "exact_match", "value": 75}]}, "bad_spec", "between 0 and 1"),
        ({"base": {"gguf": "/nowhere.gguf", "tokenizer_folder": ""}}, "bad_spec", "base model is"),
        ({"test_file": os.devnull}, "not_enough_data", "no held-out rows"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_an_engine_starts(
    tmp_path, tiny, monkeypatch, values, code, said
):
    monkeypatch.setattr(generate, "generate", lambda *args, **kwargs: pytest.fail("engine started"))
    with pytest.raises(ChildError, match=said) as caught:
        evaluator.run_evaluation(
            EvaluationSpec.from_json(write_spec(tmp_path, tiny, **values)), quiet()
        )
    assert caught.value.code == code


def test_the_bases_answers_are_kept_and_the_tuned_models_are_made_again(
    tmp_path, tiny, monkeypatch
):
    spec = write_spec(tmp_path, tiny, cache_dir=str(tmp_path / "kept"))
    requests = answering(monkeypatch, ["no"] * 6, ["no", "yes"] * 3)
    first = evaluator.run_evaluation(EvaluationSpec.from_json(spec), quiet())
    assert len(requests) == 2
    requests = answering(monkeypatch, ["no", "yes"] * 3, [])  # only the tuned model answers
    again = evaluator.run_evaluation(EvaluationSpec.from_json(spec), quiet())
    assert len(requests) == 1
    assert again["base"] == first["base"] | {"cached": True}
    assert again["tuned"]["score"] == first["tuned"]["score"] == 1


def test_the_live_version_answers_with_its_own_prompt(tmp_path, tiny, monkeypatch):
    live = {"gguf": str(tiny / "model-q8_0.gguf"), "tokenizer_folder": str(tiny)}
    live |= {"name": "v1", "system_prompt": "The old prompt."}
    spec = write_spec(tmp_path, tiny, live=live)
    sides = iter([["no"] * 6, ["no", "yes"] * 3, ["no"] * 6])
    requests = []

    def generated(gguf, tokenizer_folder, prompts, **_):
        requests.append(prompts[0][0]["content"])
        return Generated(next(sides), seconds=2.0, answer_tokens=10, cut_off=1)

    monkeypatch.setattr(generate, "generate", generated)
    result = evaluator.run_evaluation(EvaluationSpec.from_json(spec), quiet())
    assert requests == ["The model's prompt."] * 2 + ["The old prompt."]
    assert (result["live"]["name"], result["live"]["score"]) == ("v1", 0.5)
    assert result["criteria"][-1]["metric"] == "not_worse_than_live"
    row = json.loads((tmp_path / "out" / "rows.jsonl").read_text().splitlines()[0])
    assert {"live", "live_score"} <= row.keys()


def test_probes_are_answered_without_the_models_prompt(tmp_path, tiny, monkeypatch):
    spec = write_spec(tmp_path, tiny, probes=True)
    requests = []

    def generated(gguf, tokenizer_folder, prompts, **_):
        requests.append(prompts)
        return Generated(["yes"] * len(prompts), seconds=2.0, answer_tokens=10, cut_off=1)

    monkeypatch.setattr(generate, "generate", generated)
    result = evaluator.run_evaluation(EvaluationSpec.from_json(spec), quiet())
    assert all(turns[0]["role"] == "user" for turns in [*requests[2], *requests[3]])
    assert result["probes"]["forgetting"]["score"] == 0
    assert result["probes"]["note"] == ""
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(report["probes"]["rows"]) == result["probes"]["n"] == len(requests[2])


def test_sql_rows_carry_their_tables(tmp_path, tiny, monkeypatch):
    right, wrong = "SELECT a FROM t WHERE b = 'x'", "SELECT a FROM t"
    line = {
        "messages": row("Which a?", right),
        "fixture": {"ddl": "CREATE TABLE t (a TEXT, b TEXT)", "rows": [["1", "x"], ["2", "y"]]},
    }
    spec = write_spec(tmp_path, tiny, criteria=["Execution accuracy of at least 50%"])
    (tmp_path / "test.jsonl").write_text((json.dumps(line) + "\n") * 40)
    answering(monkeypatch, [wrong] * 40, [right.lower()] * 40)
    result = evaluator.run_evaluation(EvaluationSpec.from_json(spec), quiet())
    check = result["criteria"][0]
    assert (check["rows"], check["score"], check["base"]["score"]) == (40, 1, 0)


@pytest.mark.parametrize("name", MODEL_METRICS)
def test_every_metric_of_the_table_is_measured(tmp_path, tiny, monkeypatch, name):
    question = "Table: t (a text, b text). Which a has the b 'x'?"
    reference = "SELECT a FROM t WHERE b = 'x'" if "sql" in METRICS[name].task_kinds else "yes"
    spec = write_spec(tmp_path, tiny, metric=name, criteria=["Median answer length below 9 words"])
    line = json.dumps({"messages": row(question, reference)}) + "\n"
    (tmp_path / "test.jsonl").write_text(line * 6)
    answering(monkeypatch, ["no"] * 6, [reference] * 6)
    result = evaluator.run_evaluation(EvaluationSpec.from_json(spec), quiet())
    assert result["metric"] == name
    assert 0 <= result["base"]["score"] <= result["tuned"]["score"] <= 1
    assert len((tmp_path / "out" / "rows.jsonl").read_text().splitlines()) == 6
    if METRICS[name].task_kinds:
        assert (result["base"]["score"], result["tuned"]["score"]) == (0, 1)


def test_a_prompt_that_occurs_twice_is_answered_once(tiny):
    hello, bye = [{"role": "user", "content": "hello"}], [{"role": "user", "content": "bye"}]
    done = []
    result = generate.generate(
        tiny / "model-q8_0.gguf",
        tiny,
        [hello, bye, hello],
        max_tokens=4,
        on_done=done.append,
        timed=1,
    )
    assert result.distinct_prompts == len(done) == 2
    assert result.texts[0] == result.texts[2]
    assert len(result.tokens) == 3
    assert len(result.latencies) == 1


def test_rows_of_one_prompt_are_batched_together_the_longest_first():
    prompts = [
        [{"role": "system", "content": system}, {"role": "user", "content": "x" * length}]
        for system, length in (("b", 1), ("a", 2), ("b", 5), ("a", 9))
    ]
    assert generate.batching_order(prompts, [1, 2, 5, 9]) == [3, 1, 2, 0]


def test_forgetting_is_noted_and_decides_nothing(tmp_path, tiny, monkeypatch):
    spec = write_spec(tmp_path, tiny, probes=True, criteria=[])
    good = [probe.good for probe in all_probes()]
    sides = iter([["no"] * 6, ["no", "yes"] * 3, good, ["yes"] * len(good)])

    def generated(gguf, tokenizer_folder, prompts, **_):
        return Generated(next(sides), seconds=2.0, answer_tokens=10, cut_off=1)

    monkeypatch.setattr(generate, "generate", generated)
    result = evaluator.run_evaluation(EvaluationSpec.from_json(spec), quiet())
    assert "forget general skills" in result["probes"]["note"]
    assert [check["metric"] for check in result["criteria"]] == ["beats_base"]
