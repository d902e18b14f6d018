"""The foundation models that can be fine-tuned, exported and served here.

Every one has a permissive licence, an architecture and a tokenizer that each stage up to the GGUF
file knows, and a pinned revision: the same name always means the same weights. Sizes are stated, so
that a run can be planned before anything is downloaded.
"""

from dataclasses import dataclass
from pathlib import Path

GGUF_NAME = "model-q8_0.gguf"  # what every installed base is served from
CHATML_DEFAULT = "ChatML; brings a system prompt of its own where none is given"
CHATML_THINKING = "ChatML with a thinking block, always left empty here"
ZEPHYR = "Zephyr: turns headed in plain text, each closed by the end token"


@dataclass(frozen=True)
class Base:
    name: str
    hub_id: str
    revision: str
    license: str
    parameters: int  # trunk, embedding, and the head where it has weights of its own
    context: int  # tokens
    architecture: str  # transformers' model_type
    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    vocabulary: int
    tied: bool  # embedding and head are one matrix
    download_bytes: int  # weights and tokenizer, about
    template: str
    suits: str
    is_multilingual: bool = False  # else English
    offline: bool = False  # its weights come with an installed package

    @property
    def head_parameters(self) -> int:
        """The matrix that turns hidden states into logits."""
        return self.hidden_size * self.vocabulary

    @property
    def trunk_parameters(self) -> int:
        """What every token passes through: neither embedding nor head."""
        return self.parameters - self.head_parameters * (1 if self.tied else 2)

    @property
    def gguf_bytes(self) -> int:
        """About the size when served as q8_0, which takes 34 bytes for 32 weights."""
        return self.parameters * 34 // 32


def is_complete(folder: Path) -> bool:
    """Whether a base lies there, to be trained and served; such a folder appears as a whole."""
    return (folder / "config.json").is_file() and (folder / GGUF_NAME).is_file()


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
            architecture="llama",
            hidden_size=576,
            layers=30,
            heads=9,
            kv_heads=3,
            head_dim=64,
            intermediate_size=1536,
            vocabulary=49_152,
            tied=True,
            download_bytes=271_200_000,
            template=CHATML_DEFAULT,
            suits="Labels and short fixed answers in English. Trains in minutes without a GPU.",
            offline=True,
        ),
        Base(
            name="smollm2-360m-instruct",
            hub_id="HuggingFaceTB/SmolLM2-360M-Instruct",
            revision="a10cc1512eabd3dde888204e902eca88bddb4951",
            license="apache-2.0",
            parameters=361_821_120,
            context=8192,
            architecture="llama",
            hidden_size=960,
            layers=32,
            heads=15,
            kv_heads=5,
            head_dim=64,
            intermediate_size=2560,
            vocabulary=49_152,
            tied=True,
            download_bytes=725_800_000,
            template=CHATML_DEFAULT,
            suits="Labels, extraction and short answers in English.",
        ),
        Base(
            name="smollm2-1.7b-instruct",
            hub_id="HuggingFaceTB/SmolLM2-1.7B-Instruct",
            revision="31b70e2e869a7173562077fd711b654946d38674",
            license="apache-2.0",
            parameters=1_711_376_384,
            context=8192,
            architecture="llama",
            hidden_size=2048,
            layers=24,
            heads=32,
            kv_heads=32,
            head_dim=64,
            intermediate_size=8192,
            vocabulary=49_152,
            tied=True,
            download_bytes=3_424_900_000,
            template=CHATML_DEFAULT,
            suits="Free text in English: rewriting, summaries, answers from a document.",
        ),
        Base(
            name="qwen2.5-0.5b-instruct",
            hub_id="Qwen/Qwen2.5-0.5B-Instruct",
            revision="7ae557604adf67be50417f59c2c2f167def9a775",
            license="apache-2.0",
            parameters=494_032_768,
            context=32_768,
            architecture="qwen2",
            is_multilingual=True,
            hidden_size=896,
            layers=24,
            heads=14,
            kv_heads=2,
            head_dim=64,
            intermediate_size=4864,
            vocabulary=151_936,
            tied=True,
            download_bytes=995_200_000,
            template=CHATML_DEFAULT,
            suits="Labels, extraction as JSON and short answers in many languages; long inputs.",
        ),
        Base(
            name="qwen2.5-1.5b-instruct",
            hub_id="Qwen/Qwen2.5-1.5B-Instruct",
            revision="989aa7980e4cf806f80c7fef2b1adb7bc71aa306",
            license="apache-2.0",
            parameters=1_543_714_304,
            context=32_768,
            architecture="qwen2",
            is_multilingual=True,
            hidden_size=1536,
            layers=28,
            heads=12,
            kv_heads=2,
            head_dim=128,
            intermediate_size=8960,
            vocabulary=151_936,
            tied=True,
            download_bytes=3_094_500_000,
            template=CHATML_DEFAULT,
            suits="Free text, sums and JSON in many languages; long inputs.",
        ),
        Base(
            name="qwen2.5-coder-0.5b-instruct",
            hub_id="Qwen/Qwen2.5-Coder-0.5B-Instruct",
            revision="ea3f2471cf1b1f0db85067f1ef93848e38e88c25",
            license="apache-2.0",
            parameters=494_032_768,
            context=32_768,
            architecture="qwen2",
            is_multilingual=True,
            hidden_size=896,
            layers=24,
            heads=14,
            kv_heads=2,
            head_dim=64,
            intermediate_size=4864,
            vocabulary=151_936,
            tied=True,
            download_bytes=995_200_000,
            template=CHATML_DEFAULT,
            suits="Short code and SQL over few tables.",
        ),
        Base(
            name="qwen2.5-coder-1.5b-instruct",
            hub_id="Qwen/Qwen2.5-Coder-1.5B-Instruct",
            revision="2e1fd397ee46e1388853d2af2c993145b0f1098a",
            license="apache-2.0",
            parameters=1_543_714_304,
            context=32_768,
            architecture="qwen2",
            is_multilingual=True,
            hidden_size=1536,
            layers=28,
            heads=12,
            kv_heads=2,
            head_dim=128,
            intermediate_size=8960,
            vocabulary=151_936,
            tied=True,
            download_bytes=3_094_500_000,
            template=CHATML_DEFAULT,
            suits="Code and SQL over a schema of some size.",
        ),
        Base(
            name="qwen3-0.6b",
            hub_id="Qwen/Qwen3-0.6B",
            revision="c1899de289a04d12100db370d81485cdf75e47ca",
            license="apache-2.0",
            parameters=596_049_920,
            context=40_960,
            architecture="qwen3",
            is_multilingual=True,
            hidden_size=1024,
            layers=28,
            heads=16,
            kv_heads=8,
            head_dim=128,
            intermediate_size=3072,
            vocabulary=151_936,
            tied=True,
            download_bytes=1_514_700_000,
            template=CHATML_THINKING,
            suits="Extraction, sums and short texts in many languages; long inputs.",
        ),
        Base(
            name="qwen3-1.7b",
            hub_id="Qwen/Qwen3-1.7B",
            revision="70d244cc86ccca08cf5af4e1e306ecf908b1ad5e",
            license="apache-2.0",
            parameters=1_720_574_976,
            context=40_960,
            architecture="qwen3",
            is_multilingual=True,
            hidden_size=2048,
            layers=28,
            heads=16,
            kv_heads=8,
            head_dim=128,
            intermediate_size=6144,
            vocabulary=151_936,
            tied=True,
            download_bytes=4_075_000_000,
            template=CHATML_THINKING,
            suits="Free text, sums, code and SQL in many languages; long inputs.",
        ),
        Base(
            name="tinyllama-1.1b-chat",
            hub_id="TinyLlama/TinyLlama-1.1B-Chat-v1.0",
            revision="fe8a4ea1ffedaf415f4da2f062534de366a451e6",
            license="apache-2.0",
            parameters=1_100_048_384,
            context=2048,
            architecture="llama",
            hidden_size=2048,
            layers=22,
            heads=32,
            kv_heads=4,
            head_dim=64,
            intermediate_size=5632,
            vocabulary=32_000,
            tied=False,
            download_bytes=2_202_000_000,
            template=ZEPHYR,
            suits="Free text in English with short inputs; of interest where its small vocabulary "
            "matters.",
        ),
    )
}
