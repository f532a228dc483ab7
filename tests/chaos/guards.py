"""Places where a guard is removed from the sources, and the faults and checks that notice its absence."""

from dataclasses import dataclass

from tests.chaos import report
from tests.support.copied_stack import Change

_SCRIPTS = "layers/core/darkroom/services/redis/scripts"
_CLAIM, _FINISH, _ACQUIRE = (f"{_SCRIPTS}/{name}.lua" for name in ("claim_job", "finish_job", "acquire_slots"))
_TIMEOUTS = "layers/core/darkroom/timeouts.py"
_SETTLE = "functions/settle/app.py"


@dataclass(frozen=True)
class Mutation:
    """A guard that is removed, and the run that shows its absence.

    `faults` are the kinds that suffice, `caught_by` the categories of problems of which one must be reported. `kinds`
    are those of the jobs, by default all; `hang_s` is how long something hangs.
    """

    guard: str
    changes: tuple[Change, ...]
    faults: tuple[str, ...]
    caught_by: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    hang_s: str = "2:5"
    jobs: int = 30
    count: int = 4


MUTATIONS: dict[str, Mutation] = {
    "fencing": Mutation(
        "fencing token of a claim, and condition on the write of a result",
        (
            Change("layers/core/darkroom/services/s3.py", r', IfNoneMatch="\*"', ""),
            Change(_CLAIM, r"^  return \{'leased'\}$", "  return {'claimed', job_json}"),
            Change(_CLAIM, r"^if TERMINAL\[status\] then$", "if false then"),
            Change(_CLAIM, r"^if attempt <= tonumber\(last_attempt\) then$", "if false then"),
            Change(_ACQUIRE, r"^  if TERMINAL\[status\] then return 'ended' end$", ""),
            Change(_ACQUIRE, r"^  if status == 'running' or .*$", ""),
            Change(_ACQUIRE, r"^    local is_startable = .*$", "    local is_startable = true"),
        ),
        ("messages repeated",),
        (report.DOUBLE,),
    ),
    "conditional-result": Mutation(
        "condition on every write to the ledger that happens once",
        (Change("layers/core/darkroom/services/s3.py", r', IfNoneMatch="\*"', ""),),
        ("S3 fails a fifth",),
        (report.DOUBLE,),
        count=6,
    ),
    "idempotency": Mutation(
        "condition on the reservation of an idempotency key",
        (Change("api/idempotency.py", r"^    if s3\.put_once\((.*)\):$", r"    s3.put_once(\1)\n    if True:"),),
        ("key used again",),
        (report.CONTRADICTIONS, report.PROMISES),
        kinds=("repeated",),
        jobs=10,
    ),
    "index": Mutation(
        "entry in the index of open jobs before a job is in the ledger",
        (Change("layers/core/darkroom/jobs/acceptance.py", r"^    open_index\.add_job\(.*\)$", ""),),
        ("key used again",),
        (report.INDEX, report.STUCK),
    ),
    "index-removal": Mutation(
        "sweep removes an entry from the index only if the job has ended",
        (Change("functions/sweep/reconciling.py", r" if presence is Presence\.ENDED\]", "]"),),
        ("Redis flushed", "uploads cannot be read"),
        (report.INDEX, report.STUCK),
        hang_s="12:15",
    ),
    "uploads-index": Mutation(
        "entry in the index of awaited uploads before the client gets the form",
        (Change("api/routers/uploads.py", r"^( +)open_index\.add_upload\(.*\)$", r"\1pass"),),
        ("upload events lost",),
        (report.LOST, report.STUCK),
    ),
    "recovery": Mutation(
        "sweep recovers jobs that are due",
        (Change("functions/sweep/recovery.py", r"^        batch = open_jobs\.due\(.*$", "        batch = []"),),
        ("RabbitMQ killed, data deleted",),
        (report.STUCK,),
        count=3,
    ),
    "restoring": Mutation(
        "sweep restores the views of open jobs that Redis lost",
        (Change("functions/sweep/reconciling.py", r"^    unknown = .*$", "    unknown: list[Entry] = []"),),
        ("RabbitMQ and Redis killed", "key used again"),
        (report.STUCK,),
        kinds=("image",),
    ),
    "cleanup": Mutation(
        "sweep removes the outputs of runs that did not end their job",
        (Change("functions/sweep/leftovers.py", r"open_jobs\.due_for_cleanup\(CLEANED_AT_ONCE\)", "[]"),),
        ("running worker killed", "S3 hangs"),
        (report.ORPHANS, report.LEFTOVERS),
        kinds=("image", "video"),
    ),
    "cursor": Mutation(
        "compare-and-set of sweep's cursor",
        (
            Change(
                f"{_SCRIPTS}/move_cursor.lua",
                r"^if \(redis\.call\('GET', cursor\) or ''\) ~= expected then return 0 end$",
                "",
            ),
        ),
        ("several sweeps at once",),
        (report.CURSOR,),
        count=8,
        kinds=("image",),
    ),
    "slots": Mutation(
        "a job that ends frees its slot",
        (Change(_FINISH, r"^  free_slot\(slots, freed_slots, permits, job, each\)$", ""),),
        ("slow link to S3",),
        (report.SLOTS,),
        count=3,
        kinds=("image",),
    ),
    "slot-limit": Mutation(
        "the limit of slots",
        (Change(_ACQUIRE, r"^  if free <= 0 and .* then return \{'full'\} end$", ""),),
        ("slow link to S3",),
        (report.SLOTS,),
        kinds=("image",),
        jobs=60,
        count=3,
    ),
    "retry-delay": Mutation(
        "a retry waits",
        (
            Change(
                "layers/core/darkroom/jobs/retries.py",
                r"rabbitmq\.publish_delayed\((.*), delay_s\)",
                r"rabbitmq.publish(\1)",
            ),
        ),
        ("uploads cannot be read",),
        (report.RETRIES,),
        hang_s="20:22",
        jobs=8,
        count=2,
        kinds=("image",),
    ),
    "settle": Mutation(
        "settle retries the job of a run that died or reported a failure",
        (Change(_SETTLE, r"^    retries\.retry\(job, failure, .*$", ""),),
        ("running worker killed",),  # alone: another fault would explain that a death is noticed late
        (report.RETRIES,),
        kinds=("video",),  # their runs are long enough to be killed
        count=10,
    ),
    "outage-attempts": Mutation(
        "an outage uses up no attempt",
        (
            Change("layers/core/darkroom/jobs/retries.py", r"^    if outage:$", "    if False:"),
            Change(f"{_SCRIPTS}/requeue_job.lua", r"'failed_attempts', uses_attempt\)", "'failed_attempts', 1)"),
            # A run tries for seconds to read the file: with fewer attempts, a shorter outage uses up all.
            Change("layers/core/darkroom/contracts/jobs.py", r"^MAX_ATTEMPTS = \d+$", "MAX_ATTEMPTS = 2"),
        ),
        ("uploads cannot be read",),
        (report.FAILURES,),
        hang_s="50:55",
        jobs=4,
        count=1,
        kinds=("image",),
    ),
    "redis-clock": Mutation(
        "sweep compares leases with the clock of Redis",
        (
            Change("functions/sweep/recovery.py", r"client\.now_ms\(\)", "int(time.time() * 1000)"),
            Change(
                "functions/sweep/recovery.py",
                r"^from darkroom\.services\.redis import client, ",
                "from darkroom.services.redis import ",
            ),
        ),
        ("clocks an hour ahead",),
        (report.RETRIES,),
        kinds=("video",),
        count=4,
    ),
    "reconnect": Mutation(
        "a command that Redis refuses as read-only is repeated on a new connection",
        (
            Change(
                "layers/core/darkroom/services/redis/client.py",
                r"= \(ConnectionError, ReadOnlyError\)$",
                "= (ConnectionError,)",
            ),
        ),
        ("Redis failover",),
        (report.PROMISES,),
        count=3,
        kinds=("image",),
    ),
    "broker-deadline": Mutation(
        "deadline of requests to RabbitMQ",
        (Change(_TIMEOUTS, r"broker_s=[\d.]+", "broker_s=120"),),
        ("RabbitMQ hangs", "RabbitMQ has no memory"),
        (report.RESPONSES, report.INVOCATIONS),
        hang_s="20:22",
        count=2,
        kinds=("image",),
    ),
    "cache-deadline": Mutation(
        "time-out of Redis",
        (Change(_TIMEOUTS, r"cache_s=[\d.]+", "cache_s=120"),),
        ("Redis hangs",),
        (report.RESPONSES, report.INVOCATIONS),
        hang_s="20:22",
        count=2,
        kinds=("image",),
    ),
    "storage-deadline": Mutation(
        "time-out of S3",
        (Change(_TIMEOUTS, r"storage_read_s=[\d.]+", "storage_read_s=120"),),
        ("S3 hangs",),
        (report.RESPONSES, report.INVOCATIONS),
        hang_s="20:22",
        count=2,
        kinds=("image",),
    ),
    "out-of-memory": Mutation(
        "a full Redis lets running jobs proceed",
        (
            Change(_CLAIM, r"^#!lua flags=allow-oom$", "#!lua"),
            Change(_FINISH, r"^#!lua flags=allow-oom$", "#!lua"),
        ),
        ("Redis is full",),
        (report.PROMISES,),
        count=2,
        kinds=("image",),
    ),
    "cache-full": Mutation(
        "a full Redis refuses new jobs",
        (Change("api/back_pressure.py", r"^    memory\.require_room\(\)$", ""),),
        ("Redis is full",),
        (report.PROMISES,),
        count=2,
        kinds=("image",),
    ),
    "list-ledger": Mutation(
        "a list shows the result that the ledger has",
        (Change("api/job_list.py", r"return view is None or \(.*\)$", "return view is None"),),
        ("Redis is read-only", "Redis hangs"),
        (report.CONTRADICTIONS,),
        kinds=("canceled",),
        hang_s="8:10",
    ),
    "get-ledger": Mutation(
        "GET by id shows the result that the ledger has",
        (
            Change(
                "api/job_lookup.py",
                r"^    result = ledger\.read_result\(ref\)  # last.*$",
                "    result = None",
            ),
        ),
        ("Redis is read-only", "Redis hangs"),
        (report.CONTRADICTIONS,),
        kinds=("canceled",),
        hang_s="8:10",
    ),
    "throttling": Mutation(
        "dispatch repeats a call that Lambda refuses",
        (
            Change("functions/dispatch/invoker.py", r"^            enough = .*$", "            enough = True"),
            Change(
                "functions/dispatch/app.py",
                r"^    rabbitmq\.publish_delayed\(message, traceparent, OUTAGE_DELAY_S\)$",
                "",
            ),
        ),
        ("Lambda throttles",),
        (report.PROMISES, report.STUCK),
        count=3,
        kinds=("image",),
    ),
    "sweep-steps": Mutation(
        "a step of sweep that fails stops no other",
        (Change("functions/sweep/app.py", r"^            outages\.add\(type\(error\)\)$", "            raise"),),
        ("Redis hangs",),
        (report.INVOCATIONS,),
        hang_s="15:16",
        jobs=16,
        count=2,
        kinds=("image",),
    ),
    "if-match": Mutation(
        "a run notices that its file was replaced",
        (
            Change("layers/core/darkroom/av/inputs.py", r'^    return \["-headers", .*$', "    return []"),
            Change(
                "layers/core/darkroom/jobs/source.py",
                r"^        if self\._linked and .*$",
                "        if False:",
            ),
        ),
        ("file replaced",),
        (report.OUTPUTS,),
        kinds=("image",),
        jobs=8,
        count=3,
    ),
}
