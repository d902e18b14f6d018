"""What an export can hold, one entry each: the weights for transformers and PEFT, and a GGUF of
every offered quantisation.
"""

from dataclasses import dataclass

from modelstation.lm.gguf.quantisations import QUANTISATIONS, SERVED, Quantisation


@dataclass(frozen=True)
class Artifact:
    name: str
    path: str  # in the bundle
    label: str  # where a user chooses
    contents: str  # in the README
    stage: str  # while its answers are compared
    runtime: str  # what answers the held-out rows
    note: str = ""  # after the path, where the path alone does not say what it is
    quantisation: Quantisation | None = None
    is_exact: bool = False  # at least 99 % of its answers must be those of the reference


def _gguf(quantisation: Quantisation) -> Artifact:
    exactly = "llama.cpp, one row at a time, cache in float32"
    return Artifact(
        name=f"gguf-{quantisation.name}",
        path=f"gguf/{quantisation.file_name}",
        label=quantisation.label,
        contents=quantisation.contents,
        stage=quantisation.stage,
        runtime=exactly if quantisation.is_exact else "llama.cpp, as it is served",
        quantisation=quantisation,
        is_exact=quantisation.is_exact,
    )


ENCODER = "encoder"
SERVED_ARTIFACT = _gguf(SERVED)
ARTIFACTS = {
    artifact.name: artifact
    for artifact in (
        Artifact(
            name="adapter",
            path="adapter/",
            note="PEFT",
            label="Adapter (PEFT)",
            contents="the LoRA adapter, for PEFT on the base",
            stage="The adapter answers the held-out rows",
            runtime="base and adapter in PEFT, computed in float32",
        ),
        Artifact(
            name="merged",
            path="merged/",
            note="safetensors",
            label="Merged weights (safetensors)",
            contents="base and adapter merged, for transformers, vLLM, TGI",
            stage="The reference answers the held-out rows",
            runtime="transformers, computed in float32",
            is_exact=True,
        ),
        Artifact(
            name=ENCODER,
            path="encoder/",
            note="safetensors",
            label="Encoder with its client",
            contents="the head, the encoder it builds on, and client.py, which needs no server",
            stage="The client of the export answers the held-out rows",
            runtime="client.py of this export, alone",
            is_exact=True,
        ),
        *(_gguf(offered) for offered in QUANTISATIONS.values() if offered.is_offered),
    )
}
DEFAULT_ARTIFACTS = ("adapter", SERVED_ARTIFACT.name, ENCODER)  # those that a version has
