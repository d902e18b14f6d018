"""Which kind of task a requirement describes: by its example answers, else by its words.
Try it: pytest distillation/tests/pipeline/understand/test_intent.py
"""

import json
import re
from collections.abc import Callable, Sequence

from distillation.pipeline.types import Requirement
from distillation.pipeline.understand.label_lists import announced_labels, label_lists
from distillation.pipeline.understand.labels import is_label, label_key

SQL_PATTERN = r"(?is)^\s*(select|with|insert|update|delete)\b.*"
WORKED_NUMBER_PATTERN = r"(?s).*####\s*-?[\d.,]*\d\s*$"
PLAIN_NUMBER_PATTERN = r"^\s*-?[\d.,]*\d\s*$"

_IDENTIFIER = re.compile(r"[A-Za-z0-9]+(?:_[A-Za-z0-9]+)+")
_JSON_TEMPLATE = re.compile(r"\{\s*[\"“'][\w -]+[\"”']\s*:")
_JSON_ANSWER = re.compile(
    r"(?<!from )(?<!given )(?<!the )\bjson\b"
    r"(?! (?:input|record|file|document|payload|data)s? (?:is|are|in|of))",
    re.IGNORECASE,
)
_NUMBER_ANSWER = re.compile(
    r"####|\banswer\w* (?:\w+ ){0,3}(?:a|the|one) number\b(?! of)|\bas a number\b"
    r"|\bnumber (?:only|alone)\b",
    re.IGNORECASE,
)
_LABEL_WORD = (
    r"(?:label|categor(?:y|ies)|class|topic|intent|sentiment|emotion|stance|tone|mood|queue|genre|"
    r"priority|urgency|severity|department|team|section|tag|polarity|verdict|rating|language)"
)
# An order stands at the start of a sentence or after words that give orders: "customers write"
# is none, "must write" is.
_ORDER = (
    r"(?:(?:^|[.!?:;\n,]|\b(?:must|should|shall|will|to|and|then|please|it|we|you|can|that|model|"
    r"assistant|helper|tool|or|which))\s*)"
)

# What each kind is known by. The one that comes first in the text wins; at the same place, the
# one that is listed first.
_CUES = {
    "sql": (
        rf"{_ORDER}(?:write|generate|return|give|produce|answer|translate|convert|turn|build|show|"
        rf"want|need|get)\w*\b[^.\n]{{0,90}}\b(?:\w*sql(?:ite)?|select statement)\b"
    ),
    "number": (
        r"\b(?:calculat|comput(?:e|ing)\b|arithmetic|word problems?\b|final number|maths? problem|"
        r"solve\w* (?:\w+ ){0,3}(?:equation|sum)|only (?:the|a) number)"
    ),
    "classify": (
        r"\bclass(?:if|ez|er\b)|\bcategori[sz]|\bwith the letters?\b|\bkategor|\bklassifi|"
        r"\bcatégor|\bclasific|\bcategor[ií]a|"
        rf"{_ORDER}(?:label|tag|route|triage|sort|assign|flag|mark|rate|grade|score|bucket|screen|"
        r"match|map)\w*\b|"
        r"\brout(?:ed|ing)\b|\blabel+(?:s|ed|ing)\b(?= (?:each|every|it|them|the|with|a))|"
        r"\bintents?\b|\bsentiment|\bemotions?\b|\bstance\b|\b(?:exactly )?one of\b|\bwhether\b|"
        r"\b(?:tell|say|decide|check|determine|judge|predict|see)\b(?: \w+){0,3}? if\b|"
        r"\byes\s*(?:/|,|or)\s*no\b|\btrue\s*(?:/|,|or)\s*false\b|"
        r"\binto (?:a|one|its|the right|the correct|the proper) (?:\w+ )?"
        rf"(?:group|folder|box|{_LABEL_WORD})\b|"
        r"\b(?:which|what|right|correct|proper) (?:\w+ )?"
        rf"{_LABEL_WORD} (?:it|they|each|of|for|a|an|every|is|only)\b|"
        r"(?:^|[.:,;\n]\s*)(?:is|are|does|do)\b[^.?\n]{3,80}\bor\b[^.?\n]{2,40}\?|"
        rf"{_ORDER}(?:set|give|add|attach)\w* (?:\w+ ){{0,2}}{_LABEL_WORD}\b|"
        rf"{_ORDER}(?:predict|identify|recogni[sz]e|detect|determine|decide|choose|pick|name|"
        rf"estimate|assess)\w* (?:\w+ ){{0,4}}{_LABEL_WORD}"
    ),
    "extract_json": r"\bextract|\bnamed entit|\bpull(?:s|ed)? (?:\w+ )?(?:facts|fields|names) out",
    "generate": (
        rf"{_ORDER}(?:translat|rewrit|rephras|paraphras|summari[sz]|shorten|simplif|explain|"
        r"describ|draft|compos|writ|(?:reply|respond)"
        r"(?! (?:with|only|yes|no|true|in one word|[\"“'`]))|generat|"
        r"convert|turn|make|giv(?!en)|suggest|propos|"
        r"continu|complet|correct|fix|creat|produc|expand|improv|answer (?:the|their|a|an|each|"
        r"every|questions?|customers?|it|in|his|her|them)\b"
        r"(?![^.\n]* with [^.\n]*\bor\b)|tell (?:a|an|stories))\w*\b"
        r"|\btranslat(?:or|ion)|\bsummar(?:y|ies)\b"
    ),
}
_SQL_ANYWHERE = re.compile(r"\b(?:sql|sqlite|\w*sql quer(?:y|ies)|select statement)\b", re.I)


def task_kind(requirement: Requirement) -> str:
    answers = [example.output.strip() for example in requirement.examples]
    return _kind_of_answers(answers, requirement) if answers else kind_of_words(requirement)


def kind_of_words(requirement: Requirement) -> str:
    words = f"{requirement.objective}\n{requirement.text}\n{requirement.policy}"
    if _JSON_TEMPLATE.search(words) or _JSON_ANSWER.search(words):
        return "extract_json"
    if _NUMBER_ANSWER.search(words):
        return "number"
    places = {
        kind: match.start()
        for kind, cue in _CUES.items()
        if (match := re.search(cue, words, re.IGNORECASE))
    }
    if not places and _SQL_ANYWHERE.search(words):
        return "sql"
    if not places and any(announced_labels(words)):
        return "classify"
    return min(places, key=lambda kind: places[kind], default="generate")


def _kind_of_answers(answers: Sequence[str], requirement: Requirement) -> str:
    checks: dict[str, Callable[[str], bool]] = {
        "extract_json": lambda a: json_object(a) is not None,
        "sql": lambda a: re.match(SQL_PATTERN, a) is not None,
        "number": lambda a: bool(re.match(f"{WORKED_NUMBER_PATTERN}|{PLAIN_NUMBER_PATTERN}", a)),
    }
    if all(is_label(answer) for answer in answers) and _are_listed(answers, requirement):
        return "classify"
    for kind, fits in checks.items():
        if all(fits(answer) for answer in answers):
            return kind
    return "classify" if _look_like_labels(answers, requirement) else "generate"


def _are_listed(answers: Sequence[str], requirement: Requirement) -> bool:
    """Whether the words list these answers among the allowed ones."""
    given = {label_key(answer) for answer in answers}
    return any(
        given <= {label_key(name) for name in listed}
        for text in (requirement.policy, requirement.objective, requirement.text)
        for listed in label_lists(text)
    )


def _look_like_labels(answers: Sequence[str], requirement: Requirement) -> bool:
    """Short answers are labels when the words or their spelling say so, or when they repeat."""
    if not all(is_label(answer) for answer in answers):
        return False
    named = all(_IDENTIFIER.fullmatch(answer) for answer in answers)
    repeats = len({label_key(answer) for answer in answers}) <= len(answers) / 2
    return named or repeats or kind_of_words(requirement) == "classify"


def json_object(text: str) -> dict[str, object] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
