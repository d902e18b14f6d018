"""The parity certificate: what passes, what fails, and in which words."""

import os
import shutil
from itertools import islice
from random import Random

import gguf
import pytest

from modelstation.lm.chat import load_renderer
from modelstation.lm.gguf.export import export_gguf
from modelstation.lm.testing import make_tiny_qwen, make_tiny_sentencepiece
from training.export import child as exporter
from training.export.bundle.certificate import Sources, _shortfalls, certify
from training.export.bundle.checks import check_folder, check_gguf
from training.progress import Channel, ChildError
from training.scoring.generate import held_out
from training.scoring.intervals import Interval
from training.tests.export.exported import PROMPT, ROWS, make_version_files, spec_of


@pytest.fixture(scope="module")
def version(tiny_llama, tmp_path_factory):
    folder = tmp_path_factory.mktemp("version")
    make_version_files(tiny_llama, folder)
    return folder


@pytest.fixture
def prompts():
    chats = [[{"role": "user", "content": a}, {"role": "assistant", "content": b}] for a, b in ROWS]
    return held_out(chats, PROMPT).prompts


@pytest.fixture
def quiet():
    with open(os.devnull, "w") as stream:
        yield Channel(stream)


def corrupted(source, target, change):
    """A copy of the GGUF whose chat template is changed."""
    reader = gguf.GGUFReader(str(source))
    field = reader.fields["tokenizer.chat_template"]
    before = field.contents()
    after = change(before)
    assert len(after.encode()) == len(before.encode()), "the file's layout must stay"
    raw = source.read_bytes().replace(before.encode(), after.encode())
    target.write_bytes(raw)
    return target


def failed(checks):
    return {check.name: check.sentence for check in checks if not check.passed}


def test_every_artifact_of_an_export_is_checked_and_replayed(version, tiny_llama, tmp_path, quiet):
    certificate = exporter.run_export(spec_of(version, tiny_llama, tmp_path), quiet)
    lines = {line.name: line for line in certificate.artifacts}
    assert certificate.rows == len(ROWS)
    # Random weights leave near ties everywhere, which 16 bits may tip; these two do not round.
    for name in ("merged", "adapter"):
        assert lines[name].agreement == 1, name
    for name, line in lines.items():
        assert not failed_checks(line), name
        assert line.score is not None


def failed_checks(line):
    return [check.sentence for check in line.checks if not check.passed]


@pytest.mark.parametrize("make", ["qwen2", "qwen3", "sentencepiece"])
def test_other_architectures_and_tokenizers_pass_the_checks_too(make, tmp_path, prompts):
    if make == "sentencepiece":
        folder = make_tiny_sentencepiece(tmp_path / "model")
    else:
        folder = make_tiny_qwen(tmp_path / "model", make)
    export_gguf(folder, tmp_path / "model.gguf", quantisation="f16")
    trained = load_renderer(folder)
    assert not failed(check_folder(folder, trained, prompts))
    assert not failed(check_gguf(tmp_path / "model.gguf", trained, prompts))


def test_a_corrupted_chat_template_fails_with_a_sentence(
    version, tiny_llama, tmp_path, prompts, quiet
):
    file = corrupted(
        version / "gguf" / "model-q8_0.gguf",
        tmp_path / "model-q8_0.gguf",
        lambda template: template.replace("<|im_start|>assistant", "<|im_start|>assistent"),
    )
    rows = held_out(
        [[*prompt[1:], {"role": "assistant", "content": "yes"}] for prompt in prompts], PROMPT
    )
    certificate = certify(
        {"gguf-q8_0": file},
        Sources(version / "merged", tiny_llama, tiny_llama),
        rows,
        metric="exact_match",
        labels=None,
        max_tokens=4,
        channel=quiet,
    )
    (line,) = certificate.artifacts
    assert (certificate.verdict, line.verdict, line.agreement) == ("fail", "fail", None)
    assert "is not the one of the training: in row 1 the prompts part at token" in line.sentence
    assert "As llama.cpp reads it" in line.sentence


def test_a_template_that_cannot_be_read_fails_and_is_no_crash(
    version, tiny_llama, tmp_path, prompts
):
    file = corrupted(
        version / "gguf" / "model-q8_0.gguf",
        tmp_path / "model.gguf",
        lambda template: template.replace("{% endfor %}", "{% endfur %}"),
    )
    failures = failed(check_gguf(file, load_renderer(tiny_llama), prompts))
    assert "does not render row 1" in failures["Chat template"]


def test_a_template_with_a_lost_line_break_is_found(version, tiny_llama, tmp_path, prompts):
    """Nothing but one letter of white space: what people report as a model that babbles."""
    folder = shutil.copytree(version / "merged", tmp_path / "merged")
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(template.replace("assistant\\n", "assistant "))
    failures = failed(check_folder(folder, load_renderer(tiny_llama), prompts))
    assert "part at token" in failures["Chat template"]


def test_another_end_token_and_a_first_token_of_its_own_are_found(
    version, tiny_llama, tmp_path, prompts
):
    file = shutil.copy(version / "gguf" / "model-q8_0.gguf", tmp_path / "model.gguf")
    reader = gguf.GGUFReader(str(file), "r+")
    reader.fields["tokenizer.ggml.eos_token_id"].parts[-1][0] = 0
    reader.fields["tokenizer.ggml.add_bos_token"].parts[-1][0] = 1
    reader.data.flush()
    failures = failed(check_gguf(file, load_renderer(tiny_llama), prompts))
    assert "its end token is 0, in training it was 2" in failures["Special tokens"]
    assert "a first token of its own" in failures["Special tokens"]


def test_a_file_that_is_no_gguf_fails_the_certificate(tiny_llama, tmp_path, prompts):
    (tmp_path / "model.gguf").write_bytes(b"nothing of the kind")
    failures = failed(check_gguf(tmp_path / "model.gguf", load_renderer(tiny_llama), prompts))
    assert "cannot be read as GGUF" in failures["File"]


@pytest.mark.parametrize(
    ("name", "agreement", "score", "expected"),
    [
        ("gguf-f16", 0.99, 0.8, 0),
        ("gguf-f16", 0.98, 0.8, 1),
        ("gguf-q8_0", 0.5, 0.75, 0),
        ("gguf-q8_0", 0.99, 0.69, 1),
    ],
)
def test_16_bits_must_agree_and_fewer_must_score_within_the_interval(
    name, agreement, score, expected
):
    reference = Interval(score=0.8, low=0.7, high=0.9)
    assert len(_shortfalls(name, agreement, score, reference)) == expected


def test_a_version_whose_files_changed_is_not_exported(version, tiny_llama, tmp_path, quiet):
    changed = shutil.copytree(version, tmp_path / "changed")
    with (changed / "merged" / "tokenizer.json").open("a") as stream:
        stream.write(" ")
    with pytest.raises(ChildError, match="not what was trained"):
        exporter.run_export(spec_of(changed, tiny_llama, tmp_path), quiet)


def test_a_metric_that_needs_more_than_answers_gives_way_to_exact_match(
    version, tiny_llama, tmp_path, quiet
):
    spec = spec_of(version, tiny_llama, tmp_path, artifacts=["merged"], metric="json_schema")
    certificate = exporter.run_export(spec, quiet)
    assert (certificate.metric, certificate.verdict) == ("exact_match", "pass")


def test_without_held_out_rows_there_is_no_export(version, tiny_llama, tmp_path, quiet):
    spec = spec_of(version, tiny_llama, tmp_path, artifacts=["merged"])
    (tmp_path / "test.jsonl").write_text("")
    with pytest.raises(ChildError, match="no held-out rows"):
        exporter.run_export(spec, quiet)


@pytest.mark.long
def test_the_real_base_in_16_bits_answers_as_transformers_does(settings, tmp_path, quiet):
    folder = settings.MODELS_DIR / "smollm2-135m-instruct"
    if not (folder / "model.safetensors").is_file():
        pytest.skip("SmolLM2-135M-Instruct is not in place: run make setup.")
    file = tmp_path / "model-f16.gguf"
    export_gguf(folder, file, quantisation="f16")
    certificate = certify(
        {"gguf-f16": file},
        Sources(folder, folder, folder),
        held_out(real_chats(), PROMPT),
        metric="exact_match",
        labels=None,
        max_tokens=8,
        channel=quiet,
    )
    (line,) = certificate.artifacts
    assert (line.agreement, line.verdict) == (1, "pass")


def real_chats():
    """Rows of the starter corpus, which is the same everywhere."""
    from tools.starter.corpus import messages_of
    from tools.starter.helpdesk import generate

    rows = islice(generate(Random(0)), 8)
    return [messages_of(row)[-2:] for row in rows]
