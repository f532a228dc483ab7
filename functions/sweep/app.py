"""Sweep: every minute, completes what was interrupted or lost, and reports the load.

Each step has its own share of the time. A step that fails stops no other, and is counted in the metric
`sweep_step_failed` and in the returned document. The steps that need the same dependency are then left out, since they
would only wait for it as well. A step that needs S3 does not begin when the time is over.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from darkroom import metrics
from darkroom.config import settings
from darkroom.errors import CacheUnavailableError, DarkroomError, StorageUnavailableError
from darkroom.jobs import events
from darkroom.log import logger
from darkroom.timeouts import Timeouts, use_timeouts
from functions.sweep import deletion, key_uses, leftovers, load, missed_uploads, reconciling, recovery, usage

#: Limits of a request, shorter than those of other functions: a step may begin one just before its deadline.
PASS_TIMEOUTS = Timeouts(connect_s=1, storage_read_s=4, storage_attempts=2, cache_s=4, broker_s=5, pause_s=0)

#: Milliseconds before Lambda stops this function at which it stops itself: the longest request to S3, and a margin.
RESERVE_MS = 12_000


@dataclass(frozen=True)
class Step:
    """One step: what it does until a deadline on the monotonic clock, and the outages in which it is left out.

    `share` is its part of the time, relative to the steps after it.
    """

    name: str
    work: Callable[[float], int]
    needs: tuple[type[DarkroomError], ...]
    share: float = 1


#: What most steps need.
_RECORDS = (StorageUnavailableError, CacheUnavailableError)

#: The repair of the queues is last: it only matters after the broker lost its disk.
STEPS = (
    Step("restored", reconciling.restore_open_jobs, _RECORDS, share=8),
    Step("recovered", recovery.recover_due_jobs, _RECORDS, share=4),
    Step("ingested", missed_uploads.ingest_missed_uploads, _RECORDS, share=2),
    Step("cleaned", leftovers.remove_leftover_outputs, _RECORDS),
    Step("deleted", deletion.delete_tenants, _RECORDS, share=2),
    Step("usage_saved", usage.keep_usage, _RECORDS),
    Step("key_uses_saved", key_uses.save_key_uses, _RECORDS),
    Step("reported", load.report_jobs, (CacheUnavailableError,)),
    Step("queues_reported", load.report_queues, ()),
    Step("repaired", recovery.declare_missing_queues, ()),
)


def handler(_event: object, context: events.LambdaContext) -> dict[str, Any]:
    """One pass. Returns how much each step did, and the names of the steps that failed or had no time."""
    use_timeouts(PASS_TIMEOUTS)
    end = time.monotonic() + (context.get_remaining_time_in_millis() - RESERVE_MS) / 1000
    done: dict[str, Any] = {}
    failed: list[str] = []
    outages: set[type[Exception]] = set()
    for number, step in enumerate(STEPS):
        now = time.monotonic()
        is_late = number > 0 and now > end and StorageUnavailableError in step.needs
        if is_late or outages.intersection(step.needs):
            done[step.name] = 0
            failed.append(step.name)
            continue
        share = step.share / sum(later.share for later in STEPS[number:])
        try:
            done[step.name] = step.work(now + max(0.0, end - now) * share)
        except Exception as error:  # noqa: BLE001 - whatever stops one step, the others run
            done[step.name] = 0
            failed.append(step.name)
            # Not its superclasses: with a full cache, jobs can still end.
            outages.add(type(error))
            _report_failure(step, error)
    metrics.gauge_of_stack("sweep_steps_failed", len(failed), settings().function_prefix)
    logger().info("swept", extra=done | {"failed": failed})
    return done | {"failed": failed}


def _report_failure(step: Step, error: Exception) -> None:
    metrics.count_in_stack("sweep_step_failed", settings().function_prefix, step=step.name)
    if isinstance(error, DarkroomError):
        context = {"step": step.name, "code": error.code, "reason": error.message}
        logger().warning("sweep step failed", extra=context)
    else:
        logger().error("sweep step failed", extra={"step": step.name}, exc_info=error)
