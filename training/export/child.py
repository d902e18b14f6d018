"""The export child: a trained version goes in; the requested artifacts, their parity certificate
and all that is handed out with them come out as one folder.

    python -m training.export.child SPEC.json

SPEC.json is an ExportSpec.
"""

import json
import shutil
import sys
from pathlib import Path

from pydantic import JsonValue

from modelstation.core.artifacts import MANIFEST, ArtifactError, sha256_file, verify
from modelstation.lm.chat import load_renderer
from modelstation.lm.encoder.head import last_question
from modelstation.lm.gguf.export import export_gguf
from modelstation.lm.gguf.quantisations import Quantisation
from training.export.bundle import encoder as encoders
from training.export.bundle.artifacts import ARTIFACTS, ENCODER, SERVED_ARTIFACT
from training.export.bundle.bundle import link_or_copy
from training.export.bundle.card import render_model_card, render_notice, render_readme
from training.export.bundle.certificate import Sources, certify, certify_encoder
from training.export.bundle.checks import TOKENIZER_FILES
from training.export.bundle.modelfile import render_modelfile
from training.export.bundle.results import Certificate
from training.export.spec import ExportSpec, FileEntry
from training.progress import Channel, ChildError, read_spec, run_as_child
from training.recipes.rows import read_conversations
from training.scoring.generate import HeldOut, held_out

FILES = Path(__file__).resolve().parent / "bundle" / "files"


def main(spec_path: str) -> None:
    run_as_child(lambda channel: _run(ExportSpec.from_json(read_spec(spec_path)), channel))


def _run(spec: ExportSpec, channel: Channel) -> dict[str, JsonValue]:
    return {"certificate": run_export(spec, channel).to_json()}


def run_export(spec: ExportSpec, channel: Channel) -> Certificate:
    """Make one export. ChildError for all that the user can put right."""
    out = spec.out_dir
    shutil.rmtree(out, ignore_errors=True)  # of an earlier attempt
    out.mkdir(parents=True)
    channel.progress("check", step=0, total_steps=1)
    _check_version(spec)
    if spec.artifacts == [ENCODER]:
        artifacts, certificate = _make_encoder(spec, out, channel)
    else:
        artifacts = _make_artifacts(spec, out, channel)
        certificate = _certify(spec, artifacts, channel)
    channel.progress("bundle", step=0, total_steps=1)
    _write_papers(spec, out, artifacts, certificate)
    channel.progress("bundle", step=1, total_steps=1)
    return certificate


def _check_version(spec: ExportSpec) -> None:
    """Refuse files that are not what was trained and measured, byte for byte."""
    folder = spec.version_folder
    if "adapter" in spec.artifacts and spec.base_folder is None:
        why = "The base of this version is not on this installation, so its adapter cannot be"
        raise ChildError("no_base", f"{why} tried. Fetch the base, or leave the adapter out.")
    used = {"adapter": "adapter", SERVED_ARTIFACT.name: "gguf"}
    kinds = {"merged", *(used[name] for name in spec.artifacts if name in used)}
    kinds = {ENCODER} if spec.artifacts == [ENCODER] else kinds
    needed = {"merged", ENCODER}
    for kind in sorted(kind for kind in kinds if (folder / kind).is_dir() or kind in needed):
        try:
            files = [FileEntry(**entry) for entry in verify(folder / kind)["files"]]
        except ArtifactError as error:
            text = f"The files of this version are not what was trained: {error}. Train it again."
            raise ChildError("files_changed", text) from error
        if (recorded := spec.recorded.get(kind)) and recorded != files:
            text = f"The {kind} weights of this version are not what was recorded. Train it again."
            raise ChildError("files_changed", text)


def _make_artifacts(spec: ExportSpec, out: Path, channel: Channel) -> dict[str, Path]:
    names = spec.artifacts
    made = {}
    for done, name in enumerate(names):
        channel.progress("make", step=done, total_steps=len(names))
        made[name] = _make(name, spec.version_folder, out)
    channel.progress("make", step=len(names), total_steps=len(names))
    return made


def _make(name: str, version: Path, out: Path) -> Path:
    if quantisation := ARTIFACTS[name].quantisation:
        return _make_gguf(quantisation, version, out / "gguf")
    for path in sorted((version / name).rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            link_or_copy(path, out / name / path.relative_to(version / name))
    for file in TOKENIZER_FILES:  # an adapter without its tokenizer is half a model
        if (version / "merged" / file).is_file() and not (out / name / file).exists():
            link_or_copy(version / "merged" / file, out / name / file)
    return out / name


def _make_gguf(quantisation: Quantisation, version: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / quantisation.file_name
    served = version / "gguf" / target.name
    if served.is_file():  # what is served is what is handed out
        link_or_copy(served, target)
        return target
    try:
        export_gguf(version / "merged", target, quantisation=quantisation.name)
    except ValueError as error:
        raise ChildError("not_exportable", str(error)) from error
    return target


def _make_encoder(
    spec: ExportSpec, out: Path, channel: Channel
) -> tuple[dict[str, Path], Certificate]:
    folder = encoders.copy_encoder(spec.version_folder, out)
    shutil.copy(FILES / "encoder_client.py", out / "client.py")
    rows = _held_out(spec)
    total, stage = 2 * len(rows.prompts), f"replay_{ENCODER}"

    def on_done(done: int) -> None:
        channel.progress(stage, step=done, total_steps=total)

    on_done(0)
    served = encoders.served_answers(spec.version_folder, rows, on_done)
    answers = encoders.client_answers(out, [last_question(prompt) for prompt in rows.prompts])
    on_done(total)
    certificate = certify_encoder(
        folder, served, answers, rows, metric=spec.metric, labels=spec.labels
    )
    return {ENCODER: folder}, certificate


def _certify(spec: ExportSpec, artifacts: dict[str, Path], channel: Channel) -> Certificate:
    rows = _held_out(spec)
    merged = spec.version_folder / "merged"
    sources = Sources(merged, spec.base_folder, spec.base_folder or merged)
    return certify(
        artifacts, sources, rows, metric=spec.metric, labels=spec.labels, channel=channel
    )


def _held_out(spec: ExportSpec) -> HeldOut:
    try:
        conversations = read_conversations(spec.test_file)
    except (ValueError, OSError) as error:
        raise ChildError("bad_spec", str(error)) from error
    if not conversations:
        raise ChildError("not_enough_data", "There are no held-out rows to replay. Add test rows.")
    return held_out(conversations[: spec.max_rows], spec.system_prompt)


def _write_papers(
    spec: ExportSpec, out: Path, artifacts: dict[str, Path], certificate: Certificate
) -> None:
    facts = spec.facts
    hashes = {
        path.relative_to(out).as_posix(): sha256_file(path)
        for path in sorted(out.rglob("*"))
        if path.suffix in (".gguf", ".safetensors")
    }
    papers = {
        "MODEL_CARD.md": render_model_card(facts, certificate, hashes),
        "NOTICE": render_notice(facts),
        "README.md": render_readme(facts, list(artifacts), certificate),
        "certificate.json": json.dumps(certificate.to_json(), indent=2, ensure_ascii=False) + "\n",
        "system_prompt.txt": spec.system_prompt,
    }
    for name, text in papers.items():
        (out / name).write_text(text, encoding="utf-8")
    for script in ("client.py", "verify.py"):
        if not (out / script).exists():  # an encoder has another client
            shutil.copy(FILES / script, out / script)
    if spec.base_license_file:
        (out / "LICENSES").mkdir()
        shutil.copy(spec.base_license_file, out / "LICENSES" / f"{facts.base.license}.txt")
    if any(ARTIFACTS[name].quantisation for name in artifacts):
        _write_runners(spec, out, artifacts, certificate)


def _write_runners(
    spec: ExportSpec, out: Path, artifacts: dict[str, Path], certificate: Certificate
) -> None:
    """Of several GGUFs the one that is served here, else the first, goes into the Modelfile."""
    files = {name: path for name, path in artifacts.items() if ARTIFACTS[name].quantisation}
    gguf = files.get(SERVED_ARTIFACT.name) or next(iter(files.values()))
    modelfile = render_modelfile(
        load_renderer(spec.version_folder / "merged"),
        gguf.relative_to(out).as_posix(),
        system_prompt=spec.system_prompt,
        context=spec.context,
        max_tokens=certificate.max_tokens,
    )
    (out / "Modelfile").write_text(modelfile, encoding="utf-8")
    script = (FILES / "run.sh").read_text().replace("__CONTEXT__", str(spec.context))
    (out / "run.sh").write_text(script.replace("__GGUF__", gguf.relative_to(out).as_posix()))


if __name__ == "__main__":
    main(sys.argv[1])
