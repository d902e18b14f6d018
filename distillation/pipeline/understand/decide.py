"""From what was read to the labels and keys that are wanted."""

from dataclasses import dataclass, field

from distillation.pipeline.understand.labels import label_key
from distillation.pipeline.understand.lists.candidates import ListCandidate, candidates
from distillation.pipeline.understand.lists.words import AND_SO_ON, SAMPLE
from distillation.pipeline.understand.reading import Read

# That examples show all labels is said by few: else others are learned from the sources.
SURE_OF_EXAMPLES = 0.95
LONG_WORD = 4  # shorter ones, as "like" or "wie", say other things too


@dataclass(frozen=True)
class Labels:
    names: tuple[str, ...]
    are_all: bool  # no other is allowed
    descriptions: dict[str, str] = field(default_factory=dict)


def labels_of(seen: Read) -> Labels:
    """Return the list that is meant, else the answers of the examples: others are learned then."""
    shown = tuple(dict.fromkeys(example.output.strip() for example in seen.requirement.examples))
    best = seen.best("labels")
    if best is None or (best.candidate.place == "examples" and best.probability < SURE_OF_EXAMPLES):
        return Labels(shown, False)
    if is_sample(seen, best.candidate):
        return Labels(shown, False)
    return spelled(seen, best.candidate.names, best.candidate.descriptions)


def is_sample(seen: Read, item: ListCandidate) -> bool:
    """Say whether the words before or after a list say that there are more."""
    texts = {
        "text": seen.requirement.text,
        "objective": seen.requirement.objective,
        "policy": seen.requirement.policy,
    }
    if item.place not in texts:
        return False
    before = texts[item.place][: item.start].lower().rstrip(" :,“\"'")
    after = texts[item.place][item.end : item.end + 12].lower()
    phrases = tuple(phrase for phrase in SAMPLE[seen.known_language] if len(phrase) > LONG_WORD)
    return before.endswith(phrases) or any(mark in after for mark in AND_SO_ON)


def spelled(seen: Read, names: tuple[str, ...], notes: tuple[str, ...] = ()) -> Labels:
    """Return a whole list, each name as an example spells it, if one does."""
    answers = {
        label_key(example.output): example.output.strip() for example in seen.requirement.examples
    }
    written = tuple(answers.get(label_key(name), name) for name in names)
    described = dict(zip(written, notes, strict=False))
    return Labels(written, True, {label: note for label, note in described.items() if note})


def keys_of_words(seen: Read) -> tuple[str, ...]:
    best = seen.best("keys")
    return best.candidate.names if best and best.candidate.place != "examples" else ()


def identifiers(words: str) -> tuple[str, ...]:
    """Names that nobody writes but for labels, as a sample of them: card_arrival."""
    found = [item for item in candidates(words, "text", "en") if item.form == "snake"]
    return found[0].names if found else ()
