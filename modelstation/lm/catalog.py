"""The foundation models that can be fine-tuned, exported and served here.

All are llama-architecture with SmolLM2's tokenizer, because every stage up to the GGUF file knows
that kind. Revisions are pinned, so that the same name always means the same weights.
"""

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
            revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
            license="apache-2.0",
            parameters=134_515_008,
            context=8192,
            offline=True,
        ),
        Base(
            name="smollm2-360m-instruct",
            hub_id="HuggingFaceTB/SmolLM2-360M-Instruct",
            revision="a10cc1512eabd3dde888204e902eca88bddb4951",
            license="apache-2.0",
            parameters=361_821_120,
            context=8192,
            offline=False,
        ),
        Base(
            name="smollm2-1.7b-instruct",
            hub_id="HuggingFaceTB/SmolLM2-1.7B-Instruct",
            revision="31b70e2e869a7173562077fd711b654946d38674",
            license="apache-2.0",
            parameters=1_711_376_384,
            context=8192,
            offline=False,
        ),
    )
}
