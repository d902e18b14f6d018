"""The GGUF quantisations, one entry each: forms, API, sizes, exporter, certificate and papers read
them here. Plain data: the GGUF libraries are not imported."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantisation:
    name: str
    tensor_type: str  # GGML's name of the matrices' type; vectors stay float32
    file_type: str  # llama.cpp's name for the file as a whole
    bytes_per_parameter: float
    label: str  # where a user chooses
    contents: str  # in the export's README
    stage: str  # while its answers are compared
    delicate_tensor_type: str = ""  # of the head and the delicate projections, where they differ
    is_exact: bool = False  # answers as the reference does, row by row; else only as well
    is_offered: bool = True

    @property
    def file_name(self) -> str:
        return f"model-{self.name}.gguf"


QUANTISATIONS = {
    quantisation.name: quantisation
    for quantisation in (
        Quantisation(
            name="f16",
            tensor_type="F16",
            file_type="MOSTLY_F16",
            bytes_per_parameter=2,
            label="GGUF, 16 bits",
            contents="GGUF, 16 bits, the reference for llama.cpp",
            stage="The 16-bit GGUF answers the held-out rows",
            is_exact=True,
        ),
        Quantisation(
            name="q8_0",
            tensor_type="Q8_0",
            file_type="MOSTLY_Q8_0",
            bytes_per_parameter=34 / 32,  # 32 weights and their scale
            label="GGUF, Q8_0: what is served here",
            contents="GGUF, 8 bits, what ModelStation serves",
            stage="The 8-bit GGUF answers the held-out rows",
        ),
        Quantisation(
            name="q4_k_m",
            tensor_type="Q4_K",
            delicate_tensor_type="Q6_K",
            file_type="MOSTLY_Q4_K_M",
            bytes_per_parameter=0.61,  # about: it depends on the width of the model
            label="GGUF, Q4_K_M: the smallest",
            contents="GGUF, llama.cpp's Q4_K_M, about 4 to 6 bits",
            stage="The 4-bit GGUF answers the held-out rows",
        ),
        Quantisation(
            name="f32",
            tensor_type="F32",
            file_type="ALL_F32",
            bytes_per_parameter=4,
            label="GGUF, 32 bits",
            contents="GGUF, 32 bits",
            stage="The 32-bit GGUF answers the held-out rows",
            is_offered=False,  # for tests and benchmarks
        ),
    )
}
SERVED = QUANTISATIONS["q8_0"]  # what every base and version is served from


def quantisation_of(name: str) -> Quantisation:
    if name not in QUANTISATIONS:
        known = ", ".join(QUANTISATIONS)
        raise ValueError(f"Unknown quantisation {name!r}. Choose one of: {known}.")
    return QUANTISATIONS[name]
