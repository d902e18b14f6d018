"""The broker of django-q2 with one claim per message and no prefetch.

The stock ORM broker reads, then updates, in no order, and its pusher takes the next message while a
worker is busy with the last. Here a message is taken by one UPDATE … SKIP LOCKED, oldest first, and
only when this cluster has none in hand. Nothing but promptness depends on it: with the stock broker
jobs are as correct."""

import os
import time

from django.db import connections
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf

from modelstation.core.jobs.claims import cluster_name
from modelstation.core.models import Job

# How long a message may be on its way from the pusher to a worker that claims its job.
PICK_UP_SECONDS = 5.0
TAKE_OLDEST = """
UPDATE django_q_ormq SET lock = clock_timestamp() + %s * interval '1 second' WHERE id = (
    SELECT id FROM django_q_ormq WHERE key = %s AND lock <= clock_timestamp()
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, payload
"""


class UnhurriedBroker(ORM):  # type: ignore[misc]
    in_hand: int | None = None  # the message that was handed out last
    handed_out_at = 0.0

    def dequeue(self) -> list[tuple[int, str]] | None:
        if not self._is_idle():
            time.sleep(Conf.POLL)
            return None
        row = self._take_oldest()
        if row is None:
            time.sleep(Conf.POLL)
            return None
        self.in_hand, self.handed_out_at = row[0], time.monotonic()
        return [row]

    def _is_idle(self) -> bool:
        """A message is in hand until it is acknowledged, unless the worker died with it: then no
        job of this cluster has a lease, once the reaper has seen to it."""
        messages = self.get_connection()
        if self.in_hand is None or not messages.filter(id=self.in_hand).exists():
            return True
        if time.monotonic() - self.handed_out_at < PICK_UP_SECONDS:
            return False
        ours = Job.objects.filter(
            state=Job.State.RUNNING, lease_owner__startswith=cluster_name(os.getppid())
        )
        return not ours.exists()

    def _take_oldest(self) -> tuple[int, str] | None:
        self.get_connection()  # closes a connection that is too old
        with connections[Conf.ORM].cursor() as cursor:
            cursor.execute(TAKE_OLDEST, [Conf.RETRY, self.list_key])
            row = cursor.fetchone()
        return (row[0], row[1]) if row else None

    def queue_size(self) -> int:
        waiting = self.get_connection().filter(key=self.list_key, lock__lte=timezone.now())
        return int(waiting.count())
