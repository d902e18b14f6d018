"""The papers of an export out of their templates: the model card with the front matter that the hub
reads, the README and the NOTICE.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import yaml

from distillation.pipeline.card import hub_license, markdown_templates
from training.export.bundle.artifacts import ARTIFACTS, ENCODER
from training.export.bundle.facts import ModelFacts, Score
from training.export.bundle.results import Certificate

TEMPLATES = Path(__file__).with_name("templates")


def render_model_card(
    facts: ModelFacts, certificate: Certificate, hashes: Mapping[str, str]
) -> str:
    return template_of("MODEL_CARD.md").render(
        facts=facts,
        front_matter=_front_matter(facts, certificate),
        certificate=certificate,
        artifacts=ARTIFACTS,
        hashes=hashes,
        no_score=Score(),
    )


def render_readme(facts: ModelFacts, artifacts: Sequence[str], certificate: Certificate) -> str:
    chosen = [ARTIFACTS[name] for name in artifacts]
    return template_of("README.md").render(facts=facts, artifacts=chosen, certificate=certificate)


def render_notice(facts: ModelFacts) -> str:
    """Name the ones whom the receiver has to name, and whose terms go on to hold."""
    return template_of("NOTICE").render(facts=facts)


def template_of(name: str) -> jinja2.Template:
    return markdown_templates(TEMPLATES).get_template(f"{name}.jinja")


def _front_matter(facts: ModelFacts, certificate: Certificate) -> str:
    names = [line.name for line in certificate.artifacts]
    has_gguf = any(ARTIFACTS[name].quantisation for name in names)
    known = {
        "license": hub_license([facts.base.license]),
        "base_model": facts.base.hub_id,
        "base_model_relation": "adapter" if names == ["adapter"] else "finetune",
        "language": [facts.language] if facts.language else None,
        "library_name": "transformers" if "merged" in names else "peft",
        "pipeline_tag": "text-generation",
        "tags": ["modelstation", *(["gguf"] if has_gguf else [])],
    }
    if names == [ENCODER]:
        known |= {"base_model": None, "base_model_relation": None, "library_name": None}
        known["pipeline_tag"] = "text-classification"
    shown = {name: value for name, value in known.items() if value is not None}
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)
