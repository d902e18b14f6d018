"""Requests of one run, each paid once: kept by number in the plan, sent within the budget and the
pace of the teacher, and stored in a transaction of its own as soon as it is answered.

A worker that takes over from one that died plans the same requests again; those that were answered
are read from the table. Nothing but a request in flight at that moment can be paid without an
answer, and it is counted as such.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from distillation.teachers import answers, wire
from distillation.teachers.answers import Unusable
from distillation.teachers.prompts import VERSION, Prompt
from distillation.teachers.rows import Teacher, TeacherRequest, TeacherRun
from modelstation.core.errors import Unavailable
from modelstation.core.jobs.lease import Lease

State = TeacherRequest.State
READERS: dict[str, Callable[[Prompt, str], list[Any]]] = {
    "rows": answers.rows_of,
    "outputs": answers.outputs_of,
    "verdicts": answers.verdicts_of,
}
MOST_USELESS = 3  # answers to one request that cannot be read
MOST_USELESS_IN_A_ROW = 5  # requests: then it is no teacher for this
FIRST_WAIT, MOST_WAIT = 1.0, 60.0  # seconds between tries
LOOK_SECONDS = 0.2  # between looks whether to stop
MINUTE = 60.0


class BudgetSpent(Exception):
    """The next request would be over the budget; the sentence says which."""


@dataclass
class Answered:
    """Items of a request's answer; None where all tries were of no use."""

    number: int
    items: list[Any] | None
    cost: Decimal = Decimal(0)


@dataclass
class Asker:
    """`ask` may be called for as many prompts as the plan has, always in the same order."""

    run: TeacherRun
    teacher: Teacher
    lease: Lease
    send: Callable[[Teacher, Prompt, int], wire.Reply] = wire.ask
    stopped: str = ""  # why nothing more is sent: a budget is spent
    _next: int = 0
    _sent_at: deque[float] = field(default_factory=deque)
    _useless_in_a_row: int = 0

    def ask(self, prompts: Sequence[Prompt]) -> list[Answered]:
        """Return an answer for each prompt, without items where it was of no use or a budget was
        spent. Raise TeacherRefused, or Unavailable after a long outage."""
        result: list[Answered] = []
        for start in range(0, len(prompts), self.at_once):
            result += self._ask_together(prompts[start : start + self.at_once])
        return result

    @property
    def at_once(self) -> int:
        return max(1, self.teacher.max_concurrent)

    def _ask_together(self, prompts: Sequence[Prompt]) -> list[Answered]:
        numbers = range(self._next, self._next + len(prompts))
        self._next += len(prompts)
        kept = {row.number: row for row in self.run.requests.filter(number__in=numbers)}
        result: dict[int, Answered] = {}
        missing: dict[int, Prompt] = {}
        for number, prompt in zip(numbers, prompts, strict=True):
            row = kept.get(number)
            if row is not None and row.state in (State.ANSWERED, State.REFUSED):
                result[number] = self._read(row, prompt)
            else:
                missing[number] = prompt
        unread = {n: p for n, p in zip(numbers, prompts, strict=True) if _is_unread(result.get(n))}
        if missing or unread:
            result |= self._send_all(missing | unread)
        return [result.get(number) or Answered(number, None) for number in numbers]

    def _read(self, row: TeacherRequest, prompt: Prompt) -> Answered:
        """Read what is stored, and mark what is of no use."""
        if row.state == State.REFUSED:
            return Answered(row.number, None, row.cost)
        try:
            items = READERS[prompt.purpose](prompt, row.response)
        except Unusable as error:
            self._mark_useless(row, str(error))
            return Answered(row.number, None if row.state == State.REFUSED else _UNREAD, row.cost)
        self._useless_in_a_row = 0
        return Answered(row.number, items, row.cost)

    def _mark_useless(self, row: TeacherRequest, why: str) -> None:
        row.useless += 1
        is_last = row.useless >= MOST_USELESS
        row.state = State.REFUSED if is_last else State.FAILED
        row.error = f"The answer is of no use: {why}."
        row.save(update_fields=["useless", "state", "error"])
        self._useless_in_a_row += is_last
        if self._useless_in_a_row >= MOST_USELESS_IN_A_ROW:
            message = f"{self.teacher.name} does not answer in the asked form: {why}."
            hint = "Choose another model; it must follow a JSON schema."
            raise wire.TeacherRefused(message, code="teacher_answers_badly", hint=hint)

    # --- sending ----------------------------------------------------------------------------------

    def _send_all(self, prompts: dict[int, Prompt]) -> dict[int, Answered]:
        """Send, and again what failed, until each is answered or of no use."""
        result: dict[int, Answered] = {}
        waits, since = 0, time.monotonic()
        while prompts:
            try:
                failures = self._send_once(prompts, result)
            except BudgetSpent as spent:
                self.stopped = str(spent)
                break
            prompts = {n: p for n, p in prompts.items() if _is_unread(result.get(n))}
            away = [failure for failure in failures if isinstance(failure, wire.Away)]
            if not away:
                waits, since = 0, time.monotonic()
                continue
            waits += 1
            self._wait_out(away, waits, since)
        self._say("")
        return {n: answered for n, answered in result.items() if not _is_unread(answered)}

    def _send_once(
        self, prompts: dict[int, Prompt], result: dict[int, Answered]
    ) -> list[wire.Away]:
        """Send all at the same time; store each answer as it comes."""
        done: queue.SimpleQueue[tuple[int, wire.Reply | Exception]] = queue.SimpleQueue()
        rows: dict[int, TeacherRequest] = {}
        failures: list[wire.Away] = []
        refusals: list[Exception] = []
        try:
            for number, prompt in prompts.items():
                most = self._most_tokens(prompt, list(prompts.values())[: len(rows)])
                self._pace()
                rows[number] = self._note_sent(number, prompt)
                self._start(number, prompt, most, done)
        finally:
            # Also of those that went out before the budget was spent.
            for _ in rows:
                number, outcome = self._next_of(done)
                if isinstance(outcome, wire.Reply):
                    self._store(rows[number], outcome)
                    result[number] = self._read(rows[number], prompts[number])
                elif isinstance(outcome, wire.Away):
                    self._note_failed(rows[number], outcome)
                    failures.append(outcome)
                else:
                    self._note_failed(rows[number], outcome)
                    refusals.append(outcome)
        if refusals:
            raise refusals[0]
        return failures

    def _start(
        self, number: int, prompt: Prompt, most_tokens: int, done: queue.SimpleQueue[Any]
    ) -> None:
        """In a thread that may be left behind: a cancellation does not wait for a slow teacher."""

        def send() -> None:
            try:
                done.put((number, self.send(self.teacher, prompt, most_tokens)))
            except Exception as error:
                done.put((number, error))
            finally:
                connection.close()

        threading.Thread(target=send, daemon=True).start()

    def _next_of(self, done: queue.SimpleQueue[Any]) -> tuple[int, wire.Reply | Exception]:
        while True:
            try:
                number, outcome = done.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                self.lease.check()
                continue
            return number, outcome

    def _note_sent(self, number: int, prompt: Prompt) -> TeacherRequest:
        """Before it is sent. One that was on its way when its worker died may have been paid."""
        row, is_new = TeacherRequest.objects.get_or_create(
            run=self.run,
            number=number,
            defaults={
                "purpose": prompt.purpose,
                "prompt_version": VERSION,
                "prompt_hash": prompt.digest,
                "attempts": 1,
                "sent_at": timezone.now(),
            },
        )
        if not is_new:
            row.perhaps_paid += row.state == State.SENT
            row.attempts += 1
            row.state, row.sent_at = State.SENT, timezone.now()
            row.save(update_fields=["perhaps_paid", "attempts", "state", "sent_at"])
        return row

    def _store(self, row: TeacherRequest, reply: wire.Reply) -> None:
        """Committed at once: it is paid, whatever becomes of it."""
        row.response = reply.text.replace("\x00", "")
        row.state, row.error, row.answered_at = State.ANSWERED, "", timezone.now()
        row.prompt_tokens += reply.prompt_tokens
        row.completion_tokens += reply.completion_tokens
        row.cost += self.teacher.cost_of(reply.prompt_tokens, reply.completion_tokens)
        row.save()

    def _note_failed(self, row: TeacherRequest, error: Exception) -> None:
        row.state, row.error = State.FAILED, str(error)[:300]
        row.perhaps_paid += isinstance(error, wire.Away) and not error.is_answered
        row.save(update_fields=["state", "error", "perhaps_paid"])

    # --- what holds it back -----------------------------------------------------------------------

    def _most_tokens(self, prompt: Prompt, beside: Sequence[Prompt]) -> int:
        """Return how many tokens the answer may have within the budget. Raise BudgetSpent where
        that is less than it needs. `beside`: requests on their way, which may take their most."""
        run, spent = self.run, self.run.spent
        if run.is_closing:
            raise BudgetSpent("Finished with what had been answered.")
        if spent["requests"] >= run.max_requests:
            raise BudgetSpent(f"The budget of {run.max_requests:,} requests is spent.")
        asked, needed = wire.expected_tokens(prompt)
        others = [wire.expected_tokens(each)[0] for each in beside]
        asked_beside, answered_beside = sum(others), sum(map(wire.most_answer_tokens, beside))
        most = wire.most_answer_tokens(prompt)
        left = run.max_tokens - spent["tokens"] - asked - asked_beside - answered_beside
        if left < needed:
            raise BudgetSpent(f"The budget of {run.max_tokens:,} tokens is spent.")
        if run.max_cost is not None:
            taken = self.teacher.cost_of(asked + asked_beside, answered_beside)
            money = run.max_cost - spent["cost"] - taken
            price = self.teacher.cost_of(0, 1)
            affordable = int(money / price) if price else left
            if money < 0 or affordable < needed:
                amount = f"{run.max_cost.normalize():f} {run.currency}"
                raise BudgetSpent(f"The budget of {amount} is spent.")
            left = min(left, affordable)
        return int(min(most, left))

    def _pace(self) -> None:
        """Keep to the requests a minute that the teacher allows."""
        while self._sent_at and len(self._sent_at) >= max(1, self.teacher.requests_per_minute):
            free_at = self._sent_at[0] + MINUTE
            if time.monotonic() >= free_at:
                self._sent_at.popleft()
            else:
                self._sleep(min(free_at - time.monotonic(), LOOK_SECONDS))
        self.lease.check()
        self._sent_at.append(time.monotonic())

    def _wait_out(self, away: Sequence[wire.Away], waits: int, since: float) -> None:
        """Wait before the next try, or give up an outage that has been too long."""
        asked_for = max(failure.retry_after for failure in away)
        wait = asked_for or min(FIRST_WAIT * 2 ** (waits - 1), MOST_WAIT)
        if time.monotonic() + wait - since > settings.TEACHER_OUTAGE_SECONDS:
            message = f"{self.teacher.name} did not answer for too long: {away[-1]}."
            hint = "What it had answered is kept: go on later, or use the rows so far."
            raise Unavailable(message, code="teacher_away", hint=hint)
        if waits > 1:
            self._say(f"Waiting for the teacher: {away[-1]}. Trying again in {wait:.0f} s.")
        self._sleep(wait)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.lease.check()
            time.sleep(min(left, LOOK_SECONDS))
        self.lease.check()

    def _say(self, note: str) -> None:
        if self.run.note != note:
            self.run.note = note
            TeacherRun.objects.filter(id=self.run.id).update(note=note)


_UNREAD: list[Any] = []  # stands for an answer that is requested once more


def _is_unread(answered: Answered | None) -> bool:
    return answered is None or answered.items is _UNREAD
