"""Whether held-out rows of a dataset can be measured with: what they ask for is taught by its
training rows, and their own labels are likely right.
"""

from collections.abc import Sequence

from distillation.models import DatasetRow, DatasetVersion
from distillation.pipeline import coverage
from distillation.pipeline.coverage import Coverage, names_are_counted

Spoken = Sequence[tuple[str, str]]  # split and answer


def coverage_of(version: DatasetVersion, rows: Spoken | None = None) -> Coverage:
    """Compare the rows kept now, or `rows` of a version that is not saved yet. Held out are the
    user's own rows, where there are any.
    """
    kind = version.run.intent_facts.task_kind
    if not names_are_counted(kind):
        return Coverage()
    if rows is None:
        rows = list(version.rows.kept().spoken().values_list("split", "said_answer"))
    train = [answer for split, answer in rows if split == DatasetRow.Split.TRAIN]
    test = [answer for split, answer in rows if split == DatasetRow.Split.TEST]
    own = [str(row["output"]) for row in version.model.test_rows]
    return coverage.coverage_of(train, own or test, kind)


def doubtful_held_out(version: DatasetVersion) -> int:
    """Count the held-out rows whose label was found to be likely wrong when they were selected."""
    if version.model.test_rows:
        return len(version.run.intent_facts.doubtful_test_rows or ())
    test = version.rows.kept().filter(split=DatasetRow.Split.TEST)
    return int(test.filter(scores__has_key="doubtful").count())
