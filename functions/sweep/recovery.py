"""Recovers open jobs that are due: queued ones whose message may be lost, running ones whose lease has expired."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from darkroom import metrics
from darkroom.contracts.jobs import Job, JobRef, JobResult, Status
from darkroom.contracts.operations import Operation
from darkroom.errors import (
    BrokerUnavailableError,
    CacheFullError,
    CacheUnavailableError,
    DarkroomError,
    WorkerDiedError,
)
from darkroom.jobs import ledger, lifecycle, retries
from darkroom.log import logger
from darkroom.services import rabbitmq
from darkroom.services.redis import client, deadlines, open_jobs, views
from darkroom.services.redis.views import View
from functions.sweep.lookups import look_up

#: Jobs that are handled together.
BATCH = 500

#: Seconds after which a queued job is published again although its queue is not empty, if it has fewer messages than
#: jobs are queued.
REPUBLISH_AFTER_S = 15 * 60

_Answer = TypeVar("_Answer")


def recover_due_jobs(deadline: float) -> int:
    """Publishes queued jobs again, and ends or retries running jobs whose lease has expired. Returns how many.

    A job that cannot be recovered stays due for the next pass. Raises BrokerUnavailableError if that was the cause.
    """
    recovery = _Recovery(gap_end_ms=open_jobs.record_pass())
    recovered = 0
    began_ms = client.now_ms()
    while time.monotonic() < deadline:
        batch = open_jobs.due(BATCH, skip=recovery.left, as_of_ms=began_ms)
        if not batch:
            break
        recovered += recovery.recover(batch, deadline)
    recovery.raise_outage()
    return recovered


def declare_missing_queues(_deadline: float) -> int:
    """After the broker lost its disk: declares the queues, and makes the queued jobs due. Returns 1 if it did."""
    if not rabbitmq.repair_topology():
        return 0
    queued = open_jobs.make_queued_due_now()
    logger().warning("declared missing queues", extra={"queued": queued})
    return 1


@dataclass(frozen=True)
class _Records:
    """A job in Redis and in the ledger. The ledger's job is read only if Redis has none."""

    view: View | None
    job: Job | None
    result: JobResult | None


class _Recovery:
    """The recovery of one pass. `left` counts the jobs that stay due."""

    def __init__(self, gap_end_ms: int) -> None:
        self.left = 0
        self._gap_end_ms = gap_end_ms
        self._queues = _Queues()

    def recover(self, batch: Sequence[JobRef], deadline: float) -> int:
        """Recovers the jobs of a batch. Returns how many."""
        found = dict(zip(batch, views.fetch_all(batch), strict=True))
        waiting = {ref for ref, view in found.items() if view and self._waits(view)}
        open_jobs.postpone(list(waiting), deadlines.START_WITHIN_S, published=False)
        rest = [ref for ref, view in found.items() if ref not in waiting and self._can_act(view)]
        read = look_up(lambda ref: _read(ref, found[ref]), rest, deadline)
        self.left += len(batch) - len(waiting) - len(read)
        recovered, published = 0, []
        for ref, records in read:
            if time.monotonic() > deadline:
                break
            try:
                if self._publish(records):
                    published.append(ref)
                    recovered += 1
                elif self._restore_or_retry(ref, records):
                    recovered += 1
            except (BrokerUnavailableError, CacheFullError):
                self.left += 1
        open_jobs.postpone(published, deadlines.START_WITHIN_S, published=True)
        return recovered

    def raise_outage(self) -> None:
        """Raises BrokerUnavailableError if jobs stay due because of it."""
        if self._queues.failure is not None:
            raise self._queues.failure

    def _waits(self, view: View) -> bool:
        """Whether there is probably a message that will start the job: its own or, when its turn comes, any other."""
        operation = view.job.operation
        if view.status is not Status.QUEUED or view.awaits_upload or self._queues.depth(operation) == 0:
            return False
        waited_s = time.time() - view.published_ms / 1000
        return waited_s < REPUBLISH_AFTER_S or not self._queues.take_missing(operation)

    def _can_act(self, view: View | None) -> bool:
        """Whether something can be done: a queued job can only be published."""
        return view is None or view.status is not Status.QUEUED or self._queues.failure is None

    def _publish(self, records: _Records) -> bool:
        """Publishes the next attempt of a queued job. Returns whether it did. Raises BrokerUnavailableError."""
        view = records.view
        if view is None or view.awaits_upload or view.status is not Status.QUEUED or records.result is not None:
            return False
        self._queues.publish_next_attempt(view)
        metrics.count("swept", view.job.operation)
        return True

    def _restore_or_retry(self, ref: JobRef, records: _Records) -> bool:
        """Brings the view of any other job up to date. Returns whether that was needed and possible."""
        view, result = records.view, records.result
        job = records.job or (view.job if view else None)
        if job is None or (view is not None and view.status.terminal):
            open_jobs.forget(ref)
            return False
        if view is not None and view.status is Status.RUNNING and result is None:
            error = self._why_it_expired(view)
            retries.retry(job, lifecycle.failure_of(error), outage=error.outage, attempt=view.attempt)
            return True
        if not lifecycle.restore(job, result):  # it has a view that this version cannot read
            self.left += 1
            return False
        return True

    def _why_it_expired(self, view: View) -> DarkroomError:
        """Why a run has no result. Settle has handled every run that crashed, unless it met an outage as well."""
        if (view.started_ms or 0) <= self._gap_end_ms:
            return CacheUnavailableError("The run met an outage, after which its failure was not reported.")
        return WorkerDiedError("The run's lease expired without a result.")


class _Queues:
    """The broker during one pass.

    Depths are read once, so that messages which this pass publishes do not count. After a failure the broker is not
    tried again.
    """

    def __init__(self) -> None:
        self.failure: BrokerUnavailableError | None = None
        self._depths: dict[Operation, int] = {}
        self._missing: dict[Operation, int] = {}

    def depth(self, operation: Operation) -> int:
        """Messages in the operation's queue when the pass began; 0 if it is unknown."""
        if operation not in self._depths and self.failure is None:
            try:
                self._depths[operation] = self._try(lambda: rabbitmq.depth(operation))
            except BrokerUnavailableError:
                return 0
        return self._depths.get(operation, 0)

    def take_missing(self, operation: Operation) -> bool:
        """Whether a message is missing: fewer were in the queue than jobs are queued. Then it is missing no longer.

        Every message can start any job of its operation. So one for each job that waits for long would only fill the
        queue.
        """
        if operation not in self._missing:
            self._missing[operation] = views.count_queued(operation) - self.depth(operation)
        self._missing[operation] -= 1
        return self._missing[operation] >= 0

    def publish_next_attempt(self, view: View) -> None:
        """Publishes the message for a job's next attempt. Raises BrokerUnavailableError."""
        message = lifecycle.message_for(view.job, view.attempt + 1)
        self._try(lambda: rabbitmq.publish(message, view.job.traceparent))

    def _try(self, action: Callable[[], _Answer]) -> _Answer:
        if self.failure is not None:
            raise self.failure
        try:
            return action()
        except BrokerUnavailableError as error:
            self.failure = error
            raise


def _read(ref: JobRef, view: View | None) -> _Records:
    job = ledger.read_job(ref) if view is None or view.awaits_upload else None
    return _Records(view, job, ledger.read_result(ref))
