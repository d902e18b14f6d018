"""Train, valid and test by a seeded hash of the content; twins always fall on the same side.
Try it: pytest distillation/tests/pipeline/choose/test_selection.py
"""

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Sequence

from distillation.pipeline.choose.selection import seeded_key
from distillation.pipeline.types import SelectionConfig

MAX_TEST_SHARE = 0.25  # a small dataset is not eaten up by its test rows
MAX_VALID_ROWS = 200  # beyond this a validation pass costs more than it shows


def split_sizes(rows: int, config: SelectionConfig, *, held_out: bool) -> tuple[int, int]:
    """How many rows go to test and to valid; with held-out rows of the user's, none go to test."""
    test = max(round(rows * config.test_share), config.minimum_test_rows)
    test = 0 if held_out else min(test, int(rows * MAX_TEST_SHARE))
    return test, min(round(rows * config.valid_share), MAX_VALID_ROWS)


def assign_splits(
    hashes: Sequence[str],
    groups: Sequence[int],
    config: SelectionConfig,
    *,
    held_out: bool,
    for_training: Container[int] = (),
    names: Sequence[Collection[str]] = (),
) -> list[str]:
    """Fill test and valid with groups in seeded order, but those `for_training`.

    `names` are the label or the fields of each row: for each, the last group that has it is trained
    on, as what no training row shows could not be learned.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        if group not in for_training:
            members[group].append(index)
    test, valid = split_sizes(len(hashes), config, held_out=held_out)
    room = {"test": test, "valid": valid}
    splits = ["train"] * len(hashes)
    keys = [seeded_key(config.seed, content_hash) for content_hash in hashes]
    order = sorted(members.values(), key=lambda rows: min(keys[index] for index in rows))
    if names:
        trained = [i for i, group in enumerate(groups) if group in for_training]
        order = _but_one_of_each_name(order, trained, names) or order
    for rows in order:
        fitting = [name for name, left in room.items() if len(rows) <= left]
        if not fitting:
            continue
        room[fitting[0]] -= len(rows)
        for index in rows:
            splits[index] = fitting[0]
    return splits


def _but_one_of_each_name(
    order: list[list[int]], trained: Iterable[int], names: Sequence[Collection[str]]
) -> list[list[int]]:
    """Return the groups that may be held out."""
    seen = {name for index in trained for name in names[index]}
    free = []
    for rows in reversed(order):
        own = {name for index in rows for name in names[index]}
        if own <= seen:
            free.append(rows)
        seen |= own
    return free[::-1]
