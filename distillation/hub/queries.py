"""What the hub is asked for a requirement: a few words of it, and the tags of its kind of task.

The hub finds words in names, and tags that authors set; both miss much. So there are many small
questions, and rows decide. No model is needed here.
"""

from collections import Counter
from collections.abc import Iterable

from distillation.hub.client import Query
from distillation.pipeline.text import words
from distillation.pipeline.types import IntentSpec, Requirement

MOST_WORDS = 8
WIDE = 60
SHORTEST = 4
TAGS = {
    "classify": ("task_categories:text-classification", "task_ids:intent-classification"),
    "extract_json": ("task_categories:token-classification", "task_ids:named-entity-recognition"),
    "sql": ("task_categories:table-question-answering", "task_categories:text2text-generation"),
    "number": ("task_categories:question-answering", "task_categories:text-generation"),
    "generate": (
        "task_categories:text-generation", "task_categories:summarization",
        "task_categories:question-answering", "task_categories:translation",
        "task_categories:text2text-generation",
    ),
}  # fmt: skip
USUAL = {
    "classify": ("intent", "classification"),
    "extract_json": ("ner", "slot"),
    "sql": ("sql",),
    "number": ("math",),
    "generate": (),
}
# What people want, as names of data sets say it.
SYNONYMS = {
    "summar": "summ", "translat": "translation", "senten": "sentence", "sentiment": "sentiment",
    "emotion": "emotion", "feeling": "emotion", "mood": "emotion", "intent": "intent",
    "question": "qa", "quiz": "trivia", "command": "command", "shell": "shell", "terminal": "bash",
    "defin": "dictionary", "dictionary": "wordnet", "medic": "medical", "patient": "clinical",
    "doctor": "clinical", "bank": "bank", "tweet": "tweet", "entit": "ner", "slot": "slot",
    "arithmetic": "math", "calculat": "math", "math": "math", "restaurant": "restaurant",
    "split": "split", "simplif": "simpl", "chat": "chat", "conversation": "dialog",
}  # fmt: skip
COMMON = {
    "about", "above", "after", "again", "against", "also", "always", "among", "answer",
    "answers", "anything", "around", "because", "been", "before", "being", "below", "between",
    "both", "cannot", "could", "does", "doing", "down", "during", "each", "either", "else",
    "every", "example", "exactly", "fields", "first", "following", "from", "give", "given",
    "gives", "have", "having", "here", "how", "however", "input", "inputs", "instead", "into",
    "itself", "just", "keep", "kind", "like", "line", "list", "little", "make", "makes", "many",
    "maybe", "message", "messages", "model", "more", "most", "much", "must", "need", "needs",
    "never", "nothing", "only", "onto", "other", "otherwise", "output", "over", "people",
    "please", "requirement", "return", "returns", "same", "short", "should", "single", "small",
    "some", "something", "such", "take", "takes", "text", "texts", "than", "that", "their",
    "them", "then", "there", "these", "they", "thing", "things", "this", "those", "three",
    "through", "time", "tiny", "under", "until", "upon", "used", "user", "users", "using",
    "very", "want", "wants", "were", "what", "when", "where", "whether", "which", "while",
    "will", "with", "within", "without", "word", "words", "would", "write", "your", "customer",
    "customers", "label", "labels", "name", "names", "news", "value", "values", "form", "data",
}  # fmt: skip


def queries_for(requirement: Requirement, intent: IntentSpec) -> list[Query]:
    """Return the most telling first."""
    text = f"{requirement.text} {requirement.objective}"
    searches = [*_synonyms(text), *_telling(text), *USUAL.get(intent.task_kind, ())]
    tags = TAGS.get(intent.task_kind, ())
    # Much that is English does not say so.
    language = f"language:{intent.language}" if intent.language not in ("", "en") else ""
    queries = [Query(search=word) for word in dict.fromkeys(searches)]
    queries += [Query(filters=(tag, *([language] if language else []))) for tag in tags]
    # Names and tags miss what nobody tagged: what many use is looked at too.
    return [*queries, Query(filters=(language,) if language else (), limit=WIDE)]


def _synonyms(text: str) -> Iterable[str]:
    lowered = text.lower()
    return [name for stem, name in SYNONYMS.items() if stem in lowered]


def _telling(text: str) -> list[str]:
    """Return its words that say something, the more frequent first."""
    said = [word.lower().strip("'’") for word in words(text)]
    said = [word for word in said if len(word) >= SHORTEST and word.isalpha()]
    counts = Counter(word for word in said if word not in COMMON)
    return [word for word, _ in counts.most_common(MOST_WORDS)]
