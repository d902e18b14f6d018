"""Which language a text is in, and the languages that words name. ISO 639-1 codes throughout.
Try it: pytest distillation/tests/pipeline/understand/test_languages.py
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

# Below this a guess is noise: three words are of several languages at once.
SURE = 0.8
_NOT_PROSE = re.compile(r"https?://\S+|[@#]\w+|`[^`]*`|[{}<>\[\]|_=*/\\]|\d+")

_NAMES = """
af Afrikaans, sq Albanian, am Amharic, ar Arabic, hy Armenian, az Azerbaijani, eu Basque,
be Belarusian, bn Bengali, bs Bosnian, br Breton, bg Bulgarian, ca Catalan, zh Chinese,
hr Croatian, cs Czech, da Danish, nl Dutch, en English, eo Esperanto, et Estonian, fi Finnish,
fr French, gl Galician, ka Georgian, de German, el Greek, gu Gujarati, ht Haitian, ha Hausa,
he Hebrew, hi Hindi, hu Hungarian, is Icelandic, ig Igbo, id Indonesian, ga Irish, it Italian,
ja Japanese, jv Javanese, kn Kannada, kk Kazakh, km Khmer, rw Kinyarwanda, ko Korean, ku Kurdish,
ky Kyrgyz, lo Lao, la Latin, lv Latvian, lt Lithuanian, lb Luxembourgish, mk Macedonian,
mg Malagasy, ms Malay, ml Malayalam, mt Maltese, mr Marathi, mn Mongolian, ne Nepali,
no Norwegian, oc Occitan, ps Pashto, fa Persian, pl Polish, pt Portuguese, pa Punjabi,
qu Quechua, ro Romanian, ru Russian, sr Serbian, si Sinhala, sk Slovak, sl Slovenian, so Somali,
es Spanish, sw Swahili, sv Swedish, tl Tagalog, ta Tamil, tt Tatar, te Telugu, th Thai,
tr Turkish, uk Ukrainian, ur Urdu, uz Uzbek, vi Vietnamese, cy Welsh, xh Xhosa, yo Yoruba, zu Zulu
"""
NAMES = {pair[:2]: pair[3:] for pair in " ".join(_NAMES.split()).split(", ")}
_CODES = {name: code for code, name in NAMES.items()} | {"Mandarin": "zh", "Farsi": "fa"}
_NAME = "|".join(sorted(_CODES, key=len, reverse=True))
_PAIR = re.compile(rf"\b({_NAME})\b\s*(?:text\w*\s+)?(?:to|into|→|->)\s*\b(?:{_NAME})\b")
# What comes out is in another language than what comes in: these name the answer's.
_OF_THE_ANSWER = re.compile(
    rf"(?i:\b(?:into|to|answer\w*|repl(?:y|ies)|respond|return\w*|write|written answers?)\s+"
    rf"(?:\w+\s+){{0,3}}?(?:in\s+)?)(?:\w+\s+)?({_NAME})\b"
)


@cache
def identifier() -> Any:
    """Read once a process: the model takes a second and 75 MB."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_of(text: str) -> str:
    """Return the language of a text, empty when it is too short or too mixed to tell."""
    prose = " ".join(_NOT_PROSE.sub(" ", text).split())
    if not prose:
        return ""
    code, confidence = identifier().classify(prose)
    return code if confidence >= SURE and code in NAMES else ""


def language_of_all(texts: Sequence[str]) -> str:
    """Return the one language of these texts; empty when those that are known disagree."""
    codes = {code for text in texts if (code := language_of(text))}
    if len(codes) > 1:
        return ""
    return language_of("\n".join(texts))


def named_language(text: str) -> str:
    """Return the inputs' language by name ("German tickets"); empty for none or several."""
    if pair := _PAIR.search(text):
        return _CODES[pair.group(1)]
    answers = {match.span(1) for match in _OF_THE_ANSWER.finditer(text)}
    named = {
        _CODES[match.group()]
        for match in re.finditer(rf"\b(?:{_NAME})\b", text)
        if match.span() not in answers
    }
    return named.pop() if len(named) == 1 else ""
