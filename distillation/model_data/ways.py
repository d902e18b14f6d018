"""The ways to rows that have pages of their own, as the page of a model's data offers them."""

from dataclasses import dataclass, replace

from django.urls import reverse

from models_app.models import CustomModel


@dataclass(frozen=True)
class Way:
    page: str  # the name of its URL
    title: str
    text: str
    action: str
    url: str = ""


WAYS = (
    Way(
        "labelling",
        "Your own inputs, labelled here",
        "You have inputs without answers. You confirm or correct what is proposed, the most useful "
        "ones first; the rest is taken over once it is sure enough.",
        "Label inputs",
    ),
    Way(
        "model_logs",
        "Logs of your application",
        "Requests and answers from OpenAI-format JSONL, Langfuse, OpenTelemetry, or this server’s "
        "own /v1. Their answers count as labels that nobody checked.",
        "Use logs",
    ),
    Way(
        "model_hub",
        "The Hugging Face Hub",
        "Public datasets that fit the requirement, each tried on its first rows, with licence and "
        "pinned revision.",
        "Search the hub",
    ),
    Way(
        "model_teacher",
        "A teacher",
        "A larger model that writes, labels or judges rows. Each one is checked; what it costs is "
        "estimated before and limited.",
        "Ask a teacher",
    ),
)


def ways_of(model: CustomModel) -> list[Way]:
    return [replace(way, url=reverse(way.page, args=[model.org.slug, model.id])) for way in WAYS]
