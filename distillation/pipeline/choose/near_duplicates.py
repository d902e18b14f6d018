"""Texts that say one thing in nearly the same letters, in groups.

Two texts are near duplicates when one of these holds: their letters are the same once case,
accents, look-alikes, marks, emoji, spaces and courtesies are folded away; two letters are swapped;
the Jaccard similarity of their runs of four characters is at least 0.8 with the first of a group;
the cosine of their vectors is at least 0.95. Texts with other numbers, or with another "not", are
never joined by mere similarity: there one character is the whole difference. Nor are texts that
share no more than an instruction's wording: runs that many texts have do not make them alike.
Try it: pytest distillation/tests/pipeline/choose/test_near_duplicates.py
"""

import re
import unicodedata
import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from distillation.pipeline.types import Vectors

JACCARD = 0.8
JACCARD_OF_RARE = 0.6  # of the runs that fewer texts than this have:
COMMON_SHARE, COMMON_TEXTS = 0.02, 10
COSINE = 0.95
SHINGLE = 4
MIN_SWAP_LETTERS = 8
# 16 bands of 4 find 99 % of the pairs with Jaccard 0.7; what is less alike is weeded out.
BANDS, ROWS_PER_BAND = 16, 4
BLOCK = 512

# Cyrillic and Greek letters that are drawn as Latin ones, after casefolding.
LOOK_ALIKES = str.maketrans(
    "асеорхуіјѕһкмнвтԁԛԝӏᴦαβεικνορτυχωҽ", "aceopxyijshkmhbtdqwlrabeiknoptuxwe"
)
_ACCENTS = re.compile(r"[\u0300-\u036f]")
_MARKS = re.compile(r"[\W_]+")
_DECIDING = re.compile(r"\d+|\b(?:no|not|t|never|cannot|without|nicht|kein|keine|ne|pas|nunca)\b")
_HELLO = r"(?:hi|hello|hey|dear|good (?:morning|day|evening|afternoon)|hallo|bonjour|hola)"
_THANKS = (
    r"(?:thanks|thank you|thx|many thanks|cheers|please|pls|danke|bitte|merci|gracias|por favor)"
)
_COURTESY = re.compile(
    rf"^(?:{_HELLO}(?: there| all| team)?|please|pls|bitte)\b|"
    rf"\b{_THANKS}(?: (?:in advance|so much|very much|a lot))?$"
)
_SPACE_OF_LETTERS = re.compile(r"(?<!\d) | (?!\d)")


def normal_form(text: str) -> str:
    """Equal for texts that differ in case, accents, look-alike letters, spaces, marks or emoji."""
    if text.isascii():
        return _MARKS.sub(" ", text.lower()).strip() or text.strip()
    plain = unicodedata.normalize("NFKC", text)
    visible = "".join(char for char in plain if not _is_invisible(char))
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", visible.casefold()))
    folded = unicodedata.normalize("NFC", bare).translate(LOOK_ALIKES)
    letters = "".join(char if _is_of_a_word(char) else " " for char in folded)
    return " ".join(letters.split()) or plain.strip()


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) == "Cf" or "\ufe00" <= char <= "\ufe0f"


def _is_of_a_word(char: str) -> bool:
    """Vowels of Indic scripts are marks of their own."""
    return char.isalnum() or unicodedata.category(char).startswith("M")


def near_duplicate_groups(texts: Sequence[str], vectors: Vectors | None = None) -> list[int]:
    """For each text the index of the first text of its group. `vectors` are unit vectors."""
    forms = [normal_form(text) for text in texts]
    firsts: dict[str, int] = {}
    groups = [firsts.setdefault(letters_of(form), index) for index, form in enumerate(forms)]
    letters = {index: text for text, index in firsts.items()}
    deciding = {index: _DECIDING.findall(forms[index]) for index in letters}
    parents = {index: index for index in letters}
    for one, other in (*_swaps(letters), *_similar(letters, deciding), *_close(letters, vectors)):
        if deciding[one] == deciding[other]:
            join(parents, one, other)
    return [root(parents, group) for group in groups]


def letters_of(form: str) -> str:
    """Return the form without courtesies at its ends, and spaces but between numbers."""
    bare = form
    while (shorter := _COURTESY.sub("", bare).strip()) != bare and shorter:
        bare = shorter
    return _SPACE_OF_LETTERS.sub("", bare)


def _swaps(letters: dict[int, str]) -> Iterator[tuple[int, int]]:
    """Pairs in which two neighbouring letters changed places."""
    anagrams: dict[str, list[int]] = defaultdict(list)
    for index, text in letters.items():
        if len(text) >= MIN_SWAP_LETTERS:
            anagrams["".join(sorted(text))].append(index)
    for alike in anagrams.values():
        for place, index in enumerate(alike):
            yield from ((o, index) for o in alike[:place] if _one_swap(letters[o], letters[index]))


def _one_swap(one: str, other: str) -> bool:
    differing = [place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    return len(differing) == 2 and differing[1] - differing[0] == 1


def shingles_of(text: str) -> set[bytes]:
    return {text[i : i + SHINGLE].encode() for i in range(max(1, len(text) - SHINGLE + 1))}


def _similar(letters: dict[int, str], deciding: dict[int, list[str]]) -> Iterator[tuple[int, int]]:
    """Each text with the first leader that is alike; one that has none leads a group of its own."""
    from datasketch import MinHash, MinHashLSH

    permutations = BANDS * ROWS_PER_BAND
    common = _common_shingles(letters.values())
    sets = (shingles_of(text) - common for text in letters.values())
    prints = MinHash.generator(sets, num_perm=permutations, seed=1, hashfunc=zlib.crc32)
    leaders = MinHashLSH(num_perm=permutations, params=(BANDS, ROWS_PER_BAND))
    for index, print_ in zip(letters, prints, strict=True):
        if print_.is_empty():
            continue
        result = sorted(o for o in leaders.query(print_) if deciding[o] == deciding[index])
        leader = next((o for o in result if _alike(letters[o], letters[index], common)), None)
        if leader is None:
            leaders.insert(index, print_, check_duplication=False)
        else:
            yield leader, index


def _common_shingles(texts: Collection[str]) -> set[bytes]:
    counts = Counter(shingle for text in texts for shingle in shingles_of(text))
    limit = max(COMMON_TEXTS, COMMON_SHARE * len(texts))
    return {shingle for shingle, count in counts.items() if count > limit}


def _alike(one: str, other: str, common: set[bytes]) -> bool:
    ours, theirs = shingles_of(one), shingles_of(other)
    return (
        jaccard(ours, theirs) >= JACCARD
        and jaccard(ours - common, theirs - common) >= JACCARD_OF_RARE
    )


def jaccard(ours: set[bytes], theirs: set[bytes]) -> float:
    return len(ours & theirs) / len(ours | theirs)


def _close(letters: dict[int, str], vectors: Vectors | None) -> Iterator[tuple[int, int]]:
    """Pairs of vectors at most 18 degrees apart, the earlier one first."""
    if vectors is None or not letters:
        return
    indices = np.fromiter(letters, dtype=np.int64)
    ours = vectors[indices]
    for start in range(0, len(ours), BLOCK):
        block = ours[start : start + BLOCK] @ ours[: start + BLOCK].T >= COSINE
        for row, column in np.argwhere(np.tril(block, start - 1)):
            yield int(indices[column]), int(indices[start + row])


def root(parents: dict[int, int], index: int) -> int:
    """Return the first of the group that `index` was joined to."""
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


def join(parents: dict[int, int], one: int, other: int) -> None:
    low, high = sorted((root(parents, one), root(parents, other)))
    parents[high] = low
