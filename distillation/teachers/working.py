"""What a teacher is asked to do, from the first request to the rows that pass. No Django inside.

Everything is planned from the task, the seed and the answers so far: the same answers give the same
plan, so that a run that was interrupted goes on where it stood.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from distillation.pipeline.types import Example, IntentSpec, Requirement
from distillation.pipeline.understand.labels import label_key
from distillation.pipeline.understand.task_kind import json_object
from distillation.teachers import prompts
from distillation.teachers.filtering import agreement
from distillation.teachers.filtering.conventions import refuse_unusual
from distillation.teachers.filtering.first_look import FirstLook
from distillation.teachers.filtering.repeats import Embed, Repeats
from distillation.teachers.filtering.rows import TaughtRow
from distillation.teachers.prompts import Prompt

ROWS_A_REQUEST = 10
CHECKED_A_REQUEST = 20
WAVE = 60  # rows that are written before they are checked
FEW_NEW = 0.2  # of a request's rows: fewer new ones, and it repeats itself
REPEATS_BEFORE_STOP = 4  # requests in a row
VOTES = 2  # answers to each input that is labelled, three where they differ
MARGIN = 1.1  # more are written than wanted, since some are refused
UNUSABLE = "answers differ"
REPEATING = "The teacher repeats itself: its last requests brought hardly a new row."


class Reply(Protocol):
    items: list[Any] | None
    cost: Decimal


class Ask(Protocol):
    stopped: str

    def ask(self, prompts: Sequence[Prompt]) -> Sequence[Reply]: ...

    @property
    def at_once(self) -> int: ...


@dataclass(frozen=True)
class Task:
    requirement: Requirement
    intent: IntentSpec
    seed: int
    embed: Embed
    known: Sequence[str] = ()  # inputs of rows that the model has already
    held_out: Sequence[Example] = ()
    counts: Counter[str] = field(default_factory=Counter)  # rows of each label that it has
    topics: Sequence[str] = ()

    @property
    def kind(self) -> str:
        return self.intent.task_kind


@dataclass
class Outcome:
    rows: list[TaughtRow]
    note: str = ""

    @property
    def accepted(self) -> list[TaughtRow]:
        return [row for row in self.rows if row.is_kept]


T = TypeVar("T")
OnRows = Callable[[Sequence[TaughtRow]], None]


@dataclass
class Work:
    """A run under way: what was written so far, and what is known of it."""

    task: Task
    ask: Ask
    on_rows: OnRows = lambda _: None
    rows: list[TaughtRow] = field(default_factory=list)
    requests: int = 0

    def __post_init__(self) -> None:
        task = self.task
        self.first_look = FirstLook(task.intent)
        known = [*(example.input for example in task.requirement.examples), *task.known]
        self.repeats = Repeats(known, task.held_out, task.embed)

    def take(self, rows: Sequence[TaughtRow]) -> int:
        """Look at rows that came. Return how many have nothing against them yet."""
        for row in rows:
            row.line = len(self.rows) + 1
            self.rows.append(row)
            self.first_look.look(row)
        self.repeats.look(rows)
        self.on_rows(self.rows)
        return sum(row.is_kept for row in rows)

    def next_seed(self) -> int:
        self.requests += 1
        return self.task.seed * 1_000_003 + self.requests

    def kept(self) -> list[TaughtRow]:
        return [row for row in self.rows if row.is_kept]


def write(work: Work, wanted: int) -> Outcome:
    """Write rows, wave by wave, until enough have passed or nothing new comes."""
    plan = _Plan(work, wanted)
    while len(work.kept()) < wanted and not plan.is_over and not work.ask.stopped:
        first = len(work.rows)
        plan.write_until(min(int(wanted * MARGIN) + 1, len(work.kept()) + WAVE))
        check(work, work.rows[first:])
        settle_kept(work)
    return _outcome(work, wanted, work.ask.stopped or plan.note)


def rewrite(work: Work, given: Sequence[Example], wanted: int) -> Outcome:
    """Rewrite rows of another source into the form of the task."""
    for batch in _batches(given, ROWS_A_REQUEST * work.ask.at_once):
        if work.ask.stopped or len(work.kept()) >= wanted * MARGIN:
            break
        asked = [
            prompts.rewrite(work.task.requirement, work.task.intent, part, seed=work.next_seed())
            for part in _batches(batch, ROWS_A_REQUEST)
        ]
        _take_rows(work, asked)
    check(work, work.rows)
    settle_kept(work)
    return _outcome(work, wanted, work.ask.stopped)


def label(work: Work, inputs: Sequence[str]) -> Outcome:
    """Ask for each input's answer twice, a third time where the two differ; keep what agrees."""
    votes: dict[int, list[tuple[str, Decimal]]] = {i: [] for i in range(len(inputs))}
    kind = work.task.kind
    for vote in range(VOTES + 1):
        open_ = [
            i for i, said in votes.items() if vote < VOTES or not _majority(kind, said, inputs[i])
        ]
        random.Random(work.task.seed + vote).shuffle(open_)
        for index, output, cost in _answers(work, open_, inputs):
            votes[index].append((output, cost))
    rows = [_labelled(work, inputs[i], votes[i]) for i in range(len(inputs)) if votes[i]]
    work.take(rows)
    refuse_unusual(work.rows, work.task.requirement.examples, kind)
    agreement.settle(work.rows, kind, work.task.embed)
    return _outcome(work, len(inputs), work.ask.stopped)


def judge(work: Work, given: Sequence[Example]) -> Outcome:
    """Have rows judged that are there already: nothing is stored, doubtful ones are shown."""
    rows = [TaughtRow(row.input, row.output, line=i) for i, row in enumerate(given, 1)]
    work.rows = rows
    for row in rows:
        work.first_look.look(row)
    for _ in range(agreement.JUDGED):
        _judge(work, [r for r in rows if not r.verdicts or agreement.is_contested(r)])
    agreement.settle(rows, work.task.kind, work.task.embed)
    return _outcome(work, len(rows), work.ask.stopped)


# --- writing --------------------------------------------------------------------------------------


class _Plan:
    """Which rows are asked for next: of the labels that have fewest, until these are dry."""

    def __init__(self, work: Work, wanted: int) -> None:
        self._work, self._wanted = work, wanted
        intent = work.task.intent
        self._labels = list(intent.labels) if intent.task_kind == "classify" else []
        self._dry: set[str] = set()
        self._without_new = 0
        self.note = ""

    @property
    def is_over(self) -> bool:
        return bool(self.note)

    def write_until(self, rows: int) -> None:
        work = self._work
        while len(work.kept()) < rows and not self.is_over and not work.ask.stopped:
            missing = rows - len(work.kept())
            several = min(work.ask.at_once, -(-missing // ROWS_A_REQUEST))
            asked = [self._next() for _ in range(several)]
            for prompt, new in zip(asked, _take_rows(work, asked), strict=True):
                if new is not None:
                    self._learn(prompt, new)

    def _next(self) -> Prompt:
        task, seed = self._work.task, self._work.next_seed()
        return prompts.write(
            task.requirement, task.intent, count=ROWS_A_REQUEST, seed=seed,
            labels=self._wanted_labels(), field=self._rarest_field(), topics=task.topics,
        )  # fmt: skip

    def _wanted_labels(self) -> list[str]:
        """Return all labels at first, then those that lack rows: the rarest alone when little
        new comes of several."""
        if not self._labels:
            return []
        have = self._have()
        open_ = [label for label in self._labels if label not in self._dry] or self._labels
        open_.sort(key=lambda label: have[label_key(label)])
        if self._without_new:
            return open_[:1]
        share = self._wanted / len(self._labels)
        lacking = [label for label in open_ if have[label_key(label)] < share]
        return sorted(lacking or open_, key=self._labels.index)

    def _have(self) -> Counter[str]:
        written = Counter(label_key(row.output) for row in self._work.kept())
        return written + Counter({label_key(k): n for k, n in self._work.task.counts.items()})

    def _rarest_field(self) -> str:
        """Return the field that fewest rows fill, every other time; empty where all are usual."""
        if self._work.task.kind != "extract_json" or self._work.requests % 2:
            return ""
        values = [json_object(row.output) or {} for row in self._work.kept()]
        filled = Counter(k for value in values for k, v in value.items() if v not in (None, "", []))
        keys = list((self._work.task.intent.json_schema or {}).get("properties", {}))
        return min(keys, key=lambda key: filled[key], default="")

    def _learn(self, prompt: Prompt, new: int) -> None:
        if new >= FEW_NEW * prompt.count:
            self._without_new = 0
            return
        self._without_new += 1
        output = prompt.schema["properties"]["rows"]["items"]["properties"]["output"]
        if "const" in output:
            self._dry.add(output["const"])
        is_dry = set(self._labels) <= self._dry if self._labels else True
        if is_dry and self._without_new >= REPEATS_BEFORE_STOP:
            self.note = REPEATING


def _take_rows(work: Work, asked: Sequence[Prompt]) -> list[int | None]:
    """Ask and take what comes. Return how many new rows each request brought, if it was answered
    in the asked form."""
    new: list[int | None] = []
    for prompt, reply in zip(asked, work.ask.ask(asked), strict=True):
        items: list[Example] = reply.items or []
        cost = float(reply.cost) / max(1, len(items))
        rows = [TaughtRow(row.input, row.output, prompt.seed, cost=cost) for row in items]
        new.append(work.take(rows) if reply.items is not None else None)
    return new


# --- checking -------------------------------------------------------------------------------------


def check(work: Work, rows: Sequence[TaughtRow]) -> None:
    """Ask anew for the answer of each input, and for a verdict; contested ones up to thrice."""
    refuse_unusual(work.rows, work.task.requirement.examples, work.task.kind)
    for turn in range(agreement.JUDGED):
        open_ = [r for r in rows if r.is_kept and (not turn or agreement.is_contested(r))]
        _answer_again(work, [r for r in open_ if not turn or not any(r.again)])
        _judge(work, [r for r in open_ if not turn or not any(r.verdicts)])


def _answer_again(work: Work, rows: Sequence[TaughtRow]) -> None:
    order = list(range(len(rows)))
    random.Random(work.task.seed + work.requests).shuffle(order)
    for index, output, cost in _answers(work, order, [row.input for row in rows]):
        row = rows[index]
        same = agreement.same_answer(work.task.kind, row.output, output, row.input)
        row.again.append(same)
        row.cost += float(cost)


def _answers(
    work: Work, order: Sequence[int], inputs: Sequence[str]
) -> Iterator[tuple[int, str, Decimal]]:
    for batch in _batches(order, CHECKED_A_REQUEST * work.ask.at_once):
        parts = list(_batches(batch, CHECKED_A_REQUEST))
        asked = [
            prompts.answer(
                work.task.requirement, work.task.intent, [inputs[i] for i in part],
                seed=work.next_seed(),
            )
            for part in parts
        ]  # fmt: skip
        for part, reply in zip(parts, work.ask.ask(asked), strict=True):
            for index, output in zip(part, reply.items or [], strict=False):
                yield index, output, reply.cost / len(part)


def _judge(work: Work, rows: Sequence[TaughtRow]) -> None:
    for batch in _batches(rows, CHECKED_A_REQUEST * work.ask.at_once):
        parts = list(_batches(batch, CHECKED_A_REQUEST))
        asked = [
            prompts.judge(
                work.task.requirement, [row.example for row in part], seed=work.next_seed()
            )
            for part in parts
        ]
        for part, reply in zip(parts, work.ask.ask(asked), strict=True):
            for row, verdict in zip(part, reply.items or [], strict=False):
                row.verdicts.append(verdict)
                row.cost += float(reply.cost) / len(part)


def settle_kept(work: Work) -> None:
    agreement.settle(work.rows, work.task.kind, work.task.embed)
    work.on_rows(work.rows)


def _outcome(work: Work, wanted: int, note: str) -> Outcome:
    """More than were wanted are not kept."""
    for row in work.kept()[wanted:]:
        row.refuse("more than were wanted")
    work.on_rows(work.rows)
    return Outcome(work.rows, note)


# --- labelling ------------------------------------------------------------------------------------


def _majority(kind: str, said: Sequence[tuple[str, Decimal]], given: str) -> str:
    """Return the answer that was given twice; empty where none was."""
    for index, (one, _) in enumerate(said):
        others = [other for other, _ in said[index + 1 :]]
        if any(agreement.same_answer(kind, one, other, given) for other in others):
            return one
    return ""


def _labelled(work: Work, text: str, said: Sequence[tuple[str, Decimal]]) -> TaughtRow:
    kind = work.task.kind
    majority = _majority(kind, said, text)
    output = majority or said[0][0]
    cost = float(sum((cost for _, cost in said), Decimal(0)))
    row = TaughtRow(text, output, work.task.seed, cost)
    at = [answer for answer, _ in said].index(output)
    others = [other for index, (other, _) in enumerate(said) if index != at]
    row.again = [agreement.same_answer(kind, output, other, text) for other in others]
    if len(said) > 1 and not majority:
        row.refuse(UNUSABLE)
    return row


def _batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
