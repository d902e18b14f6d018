"""The foundation models that can be fine-tuned here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Base:
    name: str
    hub_id: str
    revision: str
    license: str
    parameters: int
    context: int  # tokens
    offline: bool  # its weights come with an installed package


BASES = {
    base.name: base
    for base in (
        Base(
            name="smollm2-135m-instruct",
            hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
            revision="main",
            license="apache-2.0",
            parameters=134_515_008,
            context=8192,
            offline=True,
        ),
    )
}
