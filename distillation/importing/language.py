"""The language of a text by its ISO 639-1 code, or nothing where it cannot be told.

About 30 microseconds for a sentence and 150 for a paragraph, with a model that py3langid carries.
"""

from functools import lru_cache
from typing import Any

HEAD = 300  # characters; more change nothing
MIN_LETTERS = 6
MIN_SCORE = 0.5


def language_of(text: str) -> str:
    head = text[:HEAD]
    if sum(map(str.isalpha, head)) < MIN_LETTERS and head.isascii():
        return ""
    language, score = _identifier().classify(head)
    return str(language) if score >= MIN_SCORE else ""


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([code for code in identifier.labels if len(code) == 2])
    return identifier
