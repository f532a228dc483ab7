"""Redis: the view of every job, its list, the slots of each operation. The only module that knows a key.

Every change of state is one Lua script with the fencing token (the attempt, or the run) in its condition, and takes its
time from Redis, so that clocks that disagree cannot. Every key carries a TTL or is bounded. All of it can be lost: the
ledger rebuilds it.
"""

import contextlib
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, cast

import redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from darkroom import ids
from darkroom.config import settings
from darkroom.contracts.jobs import Failure, Job, JobResult, Status
from darkroom.contracts.operations import Operation
from darkroom.errors import CacheUnavailableError, InternalError
from darkroom.log import logger
from darkroom.services import aws
from darkroom.timestamps import milliseconds

_DAY_S = 86_400

#: Seconds after which sweep looks at a queued job again, and for which a slot waits for its run to begin.
START_WITHIN_S = 300

#: Seconds that sweep gives a run beyond its lease, for the function's own end and for settle to come first.
LEASE_GRACE_S = 15

#: Seconds that a run may take whose lease is not known any more: Lambda's longest.
LONGEST_RUN_S = 900

#: Seconds after its end in which a job that Redis had lost is still searched for what its runs left.
TRACE_S = 7200

#: Seconds beyond the life of a form for which an upload is remembered as taken in.
_TAKEN_IN_S = 3600

#: Seconds a socket may be silent. Blocking reads add their own wait.
_SOCKET_TIMEOUT_S = 5

#: Seconds that a connection may take, and how often a command is tried again, on a new one: a connection is tried as
#: often for each. Where Redis' machine is gone, the API has to find that out for some commands within its 29 seconds.
_CONNECT_TIMEOUT_S = 2
_RETRIES = 1

#: A run's slot frees at most this many waiting dispatchers at once.
_WAKE_BOUND = 100

_JOB = "darkroom:job:{}"
_LIST = "darkroom:jobs:{}"
_OPEN = "darkroom:open"
_TIDY = "darkroom:tidy"
_SLOTS = "darkroom:inflight:{}"
_WAKE = "darkroom:wake:{}"
_WAITING = "darkroom:waiting:{}"
_FILE = "darkroom:file:{}"
_ENDED = "darkroom:ended:{}"
_TAKEN_IN = "darkroom:taken-in:{}"
_SWEPT = "darkroom:swept"
_GENERATION = "darkroom:generation"

_NOW_MS = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
_TERMINAL = "local terminal = {completed=true, failed=true, canceled=true}\n"

# One line per event of a job: milliseconds since 1970, the event, the attempt.
_NOTE = """
local function note(job, at_ms, event, attempt)
  local seen = redis.call('HGET', job, 'timeline')
  redis.call('HSET', job, 'timeline', (seen and seen .. '\\n' or '') .. at_ms .. ' ' .. event .. ' ' .. attempt)
end
"""

# KEYS job, list, open, waiting
# ARGV id, spec, ttl_s, due_in_ms, oldest id that the list keeps, accepted_ms, 1 when Redis had lost it
_CREATE = (
    _NOW_MS
    + _NOTE
    + """
local status = redis.call('HGET', KEYS[1], 'status')
if status and not redis.call('HGET', KEYS[1], 'awaits_upload') then return 0 end
redis.call('HDEL', KEYS[1], 'awaits_upload')
redis.call('HSETNX', KEYS[1], 'status', 'queued')
redis.call('HSET', KEYS[1], 'attempt', 0, 'spec', ARGV[2], 'published_ms', now)
if ARGV[7] == '1' then redis.call('HSET', KEYS[1], 'restored', 1) end
note(KEYS[1], ARGV[6], 'accepted', 0)
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
redis.call('ZREMRANGEBYLEX', KEYS[2], '-', '(' .. ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[3])
if redis.call('HGET', KEYS[1], 'status') == 'queued' then
  redis.call('ZADD', KEYS[3], now + ARGV[4], ARGV[1])
  redis.call('ZADD', KEYS[4], 0, ARGV[1])
end
return 1
"""
)

# KEYS job · ARGV spec, ttl_s
_AWAIT = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'status', 'queued', 'attempt', 0, 'awaits_upload', 1, 'spec', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""

# KEYS job, slots · ARGV id, attempt, limit, hold_ms
_ACQUIRE = (
    _NOW_MS
    + _TERMINAL
    + _NOTE
    + """
local seen = redis.call('HMGET', KEYS[1], 'status', 'attempt')
if seen[1] then
  if terminal[seen[1]] then return 'ended' end
  if seen[1] == 'running' or tonumber(ARGV[2]) <= tonumber(seen[2]) then return 'stale' end
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local held = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not held and redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) then return 'full' end
redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[1])
redis.call('PEXPIRE', KEYS[2], 86400000)
if seen[1] and not held then note(KEYS[1], now, 'dispatched', ARGV[2]) end
return 'taken'
"""
)

_FREE_SLOT = """
local function free_slot(slots, wake, id, bound)
  if redis.call('ZREM', slots, id) == 1 then
    redis.call('LPUSH', wake, 1)
    redis.call('LTRIM', wake, 0, bound - 1)
    redis.call('EXPIRE', wake, 60)
  end
end
"""

# KEYS job, slots, open, wake, waiting · ARGV id, attempt, run, lease_ms, grace_ms, wake bound
_CLAIM = (
    _NOW_MS
    + _TERMINAL
    + _NOTE
    + _FREE_SLOT
    + """
local seen = redis.call('HMGET', KEYS[1], 'status', 'attempt', 'spec')
if not seen[1] then return {'missing'} end
if seen[1] == 'running' then return {'leased'} end
if terminal[seen[1]] then free_slot(KEYS[2], KEYS[4], ARGV[1], ARGV[6]); return {'ended'} end
if tonumber(ARGV[2]) <= tonumber(seen[2]) then
  free_slot(KEYS[2], KEYS[4], ARGV[1], ARGV[6])
  return {'stale'}
end
redis.call('HSET', KEYS[1], 'status', 'running', 'attempt', ARGV[2], 'run', ARGV[3], 'started_ms', now, 'progress', 0,
  'leased_until', now + ARGV[4])
redis.call('HDEL', KEYS[1], 'progressed_ms', 'speed')
note(KEYS[1], now, 'claimed', ARGV[2])
redis.call('ZREM', KEYS[5], ARGV[1])
redis.call('ZADD', KEYS[2], now + ARGV[4], ARGV[1])
redis.call('ZADD', KEYS[3], now + ARGV[4] + ARGV[5], ARGV[1])
return {'claimed', seen[3]}
"""
)

# KEYS job · ARGV run, progress, speed or ''
_PROGRESS = (
    _NOW_MS
    + """
local seen = redis.call('HMGET', KEYS[1], 'run', 'status', 'progress')
if not seen[2] then return 1 end
if seen[1] ~= ARGV[1] or seen[2] ~= 'running' then return 0 end
if tonumber(ARGV[2]) > tonumber(seen[3]) then
  redis.call('HSET', KEYS[1], 'progress', ARGV[2], 'progressed_ms', now, 'speed', ARGV[3])
end
return 1
"""
)

# KEYS job, slots, open, wake, waiting · ARGV id, attempt, run or '', failure, due_in_ms, wake bound
_RELEASE = (
    _NOW_MS
    + _NOTE
    + _FREE_SLOT
    + """
local seen = redis.call('HMGET', KEYS[1], 'status', 'attempt', 'run', 'errors')
if not seen[1] then return -1 end
local attempt = tonumber(ARGV[2])
local running = seen[1] == 'running' and attempt == tonumber(seen[2]) and (ARGV[3] == '' or ARGV[3] == seen[3])
local unclaimed = seen[1] == 'queued' and ARGV[3] == '' and attempt > tonumber(seen[2])
if not running and not unclaimed then return 0 end
redis.call('HSET', KEYS[1], 'status', 'queued', 'attempt', attempt, 'progress', 0, 'published_ms', now,
  'errors', (seen[4] and seen[4] .. '\\n' or '') .. ARGV[4])
redis.call('HDEL', KEYS[1], 'run')
note(KEYS[1], now, 'attempt_failed', attempt)
redis.call('ZADD', KEYS[5], 0, ARGV[1])
redis.call('ZADD', KEYS[3], now + ARGV[5], ARGV[1])
free_slot(KEYS[2], KEYS[4], ARGV[1], ARGV[6])
return 1
"""
)

# KEYS job, slots, open, wake, waiting, ended channel, tidy
# ARGV id, status, result, ttl_s, wake bound, finished_ms, attempt, uploaded_ms or '', run
# and in milliseconds: the longest run, how long traces are searched for, the grace
_END = (
    _NOW_MS
    + _TERMINAL
    + _NOTE
    + _FREE_SLOT
    + """
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[5], ARGV[1])
free_slot(KEYS[2], KEYS[4], ARGV[1], ARGV[5])
local seen = redis.call('HMGET', KEYS[1], 'status', 'run', 'leased_until', 'restored')
local status = seen[1]
if not status then return -1 end
if terminal[status] then return 0 end
-- Where the run that ends the job is not the only one there was, others may have left outputs, or still will.
local alone = ARGV[2] == 'completed' and tonumber(ARGV[7]) == 1 and seen[2] == ARGV[9]
if seen[4] and tonumber(ARGV[6]) > now - ARGV[11] then
  redis.call('ZADD', KEYS[7], now + ARGV[10] + ARGV[12], ARGV[1])
elseif seen[3] and not alone then
  redis.call('ZADD', KEYS[7], math.max(now, tonumber(seen[3])) + ARGV[12], ARGV[1])
end
redis.call('HSET', KEYS[1], 'status', ARGV[2], 'result', ARGV[3])
redis.call('HDEL', KEYS[1], 'run', 'awaits_upload', 'leased_until', 'restored')
if ARGV[8] ~= '' then note(KEYS[1], ARGV[8], 'uploaded', ARGV[7]) end
note(KEYS[1], ARGV[6], ARGV[2], ARGV[7])
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('PUBLISH', KEYS[6], ARGV[2])
return 1
"""
)


# KEYS open · ARGV what a job's key begins with
_HURRY = (
    _NOW_MS
    + """
local hurried = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if redis.call('HGET', ARGV[1] .. id, 'status') == 'queued' then
    redis.call('ZADD', KEYS[1], now, id)
    hurried = hurried + 1
  end
end
return hurried
"""
)

# KEYS swept, generation · ARGV job id, generation
_NOTE_SWEPT = """
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
return 1
"""


class Slot(StrEnum):
    """What dispatch hears when it asks for a slot."""

    TAKEN = "taken"
    FULL = "full"
    STALE = "stale"
    ENDED = "ended"


class Standing(StrEnum):
    """What Redis knows of a job that the ledger has."""

    UNKNOWN = "unknown"
    OPEN = "open"
    OVER = "over"


@dataclass(frozen=True)
class Claim:
    """The answer to a claim. `outcome` is claimed, leased, ended, stale or missing; `job` is there when claimed."""

    outcome: str
    job: Job | None = None


@dataclass(frozen=True)
class Moment:
    """One event: accepted, dispatched, claimed, attempt_failed, uploaded, or the status that the job ended with."""

    event: str
    at_ms: int
    attempt: int


@dataclass(frozen=True)
class View:
    """What Redis knows of a job."""

    status: Status
    attempt: int
    job: Job
    awaits_upload: bool = False
    progress: float = 0.0
    published_ms: int = 0
    started_ms: int | None = None
    progressed_ms: int | None = None
    speed: float | None = None
    errors: list[Failure] = field(default_factory=list)
    timeline: list[Moment] = field(default_factory=list)
    result: JobResult | None = None


@lru_cache(maxsize=1)
def _client() -> redis.Redis:
    config = settings()
    password = aws.secret(config.cache_secret_arn)["password"] if config.cache_secret_arn else None
    return redis.Redis.from_url(
        config.cache_url,
        password=password,
        decode_responses=True,
        socket_timeout=_SOCKET_TIMEOUT_S,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        socket_keepalive=True,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), _RETRIES),
    )


@lru_cache(maxsize=16)
def _script(source: str) -> Any:
    return _client().register_script(source)


def _run(source: str, keys: list[str], args: list[str | int | float]) -> Any:
    with _translated():
        return _script(source)(keys=keys, args=args)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise CacheUnavailableError(f"The status cache did not answer as it should: {error}") from error


def _ttl_s() -> int:
    return settings().retention_days * _DAY_S


def _oldest_id() -> str:
    return ids.first_id(int((time.time() - _ttl_s()) * 1000))


def _keys(job_id: str, operation: Operation) -> list[str]:
    """What a step of a job touches: its record, and the operation's slots, open jobs, wake-up calls and queue."""
    return [
        _JOB.format(job_id),
        _SLOTS.format(operation),
        _OPEN,
        _WAKE.format(operation),
        _WAITING.format(operation),
    ]


def ping() -> None:
    """Raises CacheUnavailableError unless Redis answers."""
    with _translated():
        _client().ping()


# Jobs --------------------------------------------------------------------------------------------------------------


def create(job: Job, *, due_in_s: float = START_WITHIN_S, restored: bool = False) -> bool:
    """Makes the record of an accepted job, `queued`. Whether there was none yet.

    `restored` says that there may have been one, so that runs of which nothing is known may be under way.
    """
    keys = [_JOB.format(job.job_id), _LIST.format(job.tenant), _OPEN, _WAITING.format(job.operation)]
    spec = job.model_dump_json(exclude_none=True)
    arguments: list[str | int | float] = [job.job_id, spec, _ttl_s(), int(due_in_s * 1000), _oldest_id()]
    return bool(_run(_CREATE, keys, [*arguments, milliseconds(job.created_at), int(restored)]))


def await_upload(job: Job, *, expires_s: int) -> None:
    """Makes the record of a job that starts when its upload lands, so that asking for it is not a 404 meanwhile.

    A record that is there already stays as it is.
    """
    _run(_AWAIT, [_JOB.format(job.job_id)], [job.model_dump_json(exclude_none=True), expires_s])


def acquire_slot(job_id: str, operation: Operation, attempt: int, *, limit: int) -> Slot:
    """Takes one of the operation's `limit` slots for a job, unless the message is out of date."""
    keys = [_JOB.format(job_id), _SLOTS.format(operation)]
    return Slot(_run(_ACQUIRE, keys, [job_id, attempt, limit, START_WITHIN_S * 1000]))


def release_slot(job_id: str, operation: Operation) -> None:
    """Gives back a slot whose run never began."""
    with _translated():
        _client().zrem(_SLOTS.format(operation), job_id)


def wait_for_slot(operation: Operation, timeout_s: float) -> None:
    """Returns when a slot may have come free, at the latest after `timeout_s`."""
    with _translated():
        _client().blpop([_WAKE.format(operation)], timeout=min(timeout_s, _SOCKET_TIMEOUT_S - 1))


def claim(job_id: str, operation: Operation, *, attempt: int, run: str, lease_ms: int) -> Claim:
    """Moves a job from queued to running for one run. Only one run of one attempt hears `claimed`."""
    keys = _keys(job_id, operation)
    answer = _run(_CLAIM, keys, [job_id, attempt, run, lease_ms, LEASE_GRACE_S * 1000, _WAKE_BOUND])
    return Claim(answer[0], Job.model_validate_json(answer[1]) if len(answer) > 1 else None)


def progress(job_id: str, run: str, fraction: float, speed: float | None = None) -> bool:
    """Records progress from 0 to 1, never backwards, and `speed` in seconds of media per second.

    Returns whether the job is still this run's, as far as Redis knows.
    """
    pace = "" if speed is None else f"{speed:.4g}"
    return bool(_run(_PROGRESS, [_JOB.format(job_id)], [run, f"{fraction:.4f}", pace]))


def release(job: Job, *, attempt: int, run: str | None, failure: Failure, due_in_s: float) -> bool | None:
    """Ends an attempt without result the job: back to queued, the failure noted, the slot freed.

    `run` None means that the run is known dead (settle, sweep): then the attempt alone is the fencing token, and an
    attempt that never claimed counts as made. Returns whether it was so, or None when there is no record.
    """
    keys = _keys(job.job_id, job.operation)
    note = failure.model_dump_json()
    answer = _run(_RELEASE, keys, [job.job_id, attempt, run or "", note, int(due_in_s * 1000), _WAKE_BOUND])
    return None if answer == -1 else bool(answer)


def end(job_id: str, operation: Operation, result: JobResult) -> bool | None:
    """Shows the end that the ledger holds, frees the slot, tells who waits.

    Returns whether it was news, or None when there is no record.
    """
    keys = [*_keys(job_id, operation), _ENDED.format(job_id), _TIDY]
    text = result.model_dump_json(exclude_none=True)
    arguments: list[str | int | float] = [job_id, result.status, text, _ttl_s(), _WAKE_BOUND]
    uploaded_ms = milliseconds(result.uploaded_at) if result.uploaded_at else ""
    arguments += [milliseconds(result.finished_at), result.attempt, uploaded_ms, result.run]
    answer = _run(_END, keys, [*arguments, LONGEST_RUN_S * 1000, TRACE_S * 1000, LEASE_GRACE_S * 1000])
    return None if answer == -1 else bool(answer)


def view(job_id: str) -> View | None:
    """What Redis shows of a job, or None."""
    with _translated():
        found = cast(dict[str, str], _client().hgetall(_JOB.format(job_id)))
    return _view(found) if "status" in found else None


def _view(found: dict[str, str]) -> View:
    try:
        return _read_view(found)
    except ValueError as error:
        raise InternalError("What the status cache holds of a job cannot be read.") from error


def _read_view(found: dict[str, str]) -> View:
    return View(
        status=Status(found["status"]),
        attempt=int(found.get("attempt", 0)),
        job=Job.model_validate_json(found["spec"]),
        awaits_upload="awaits_upload" in found,
        progress=float(found.get("progress", 0)),
        published_ms=int(found.get("published_ms", 0)),
        started_ms=int(found["started_ms"]) if "started_ms" in found else None,
        progressed_ms=int(found["progressed_ms"]) if "progressed_ms" in found else None,
        speed=float(found["speed"]) if found.get("speed") else None,
        errors=[Failure.model_validate_json(line) for line in found.get("errors", "").splitlines()],
        timeline=[_moment(line) for line in found.get("timeline", "").splitlines()],
        result=JobResult.model_validate_json(found["result"]) if "result" in found else None,
    )


def _moment(line: str) -> Moment:
    at_ms, event, attempt = line.split(" ")
    return Moment(event, int(at_ms), int(attempt))


def recorded(job: Job, result: JobResult | None) -> View:
    """A job as the ledger alone shows it: an open one counts as queued."""
    accepted = Moment("accepted", milliseconds(job.created_at), 0)
    if result is None:
        return View(status=Status.QUEUED, attempt=0, job=job, timeline=[accepted])
    over = Moment(result.status, milliseconds(result.finished_at), result.attempt)
    return View(status=result.status, attempt=result.attempt, job=job, timeline=[accepted, over], result=result)


def views(job_ids: list[str]) -> list[View | None]:
    """`view` of many jobs in one round trip. What cannot be read, by this version at least, counts as not there."""
    with _translated(), _client().pipeline(transaction=False) as pipe:
        for job_id in job_ids:
            pipe.hgetall(_JOB.format(job_id))
        every = pipe.execute()
    shown: list[View | None] = []
    for job_id, found in zip(job_ids, every, strict=True):
        try:
            shown.append(_view(found) if "status" in found else None)
        except InternalError as error:
            logger().error("passed over", extra={"job_id": job_id, "reason": error.message})
            shown.append(None)
    return shown


def standings(job_ids: list[str]) -> list[Standing]:
    """Where many jobs stand, in one round trip and without their details."""
    with _translated(), _client().pipeline(transaction=False) as pipe:
        for job_id in job_ids:
            pipe.hmget(_JOB.format(job_id), "status", "awaits_upload")
        found = pipe.execute()
    return [
        Standing.UNKNOWN if not status or awaits else Standing.OVER if Status(status).terminal else Standing.OPEN
        for status, awaits in found
    ]


def list_ids(tenant: str, *, before: str | None, limit: int) -> list[str]:
    """Ids of a tenant's jobs, newest first, beginning with those older than the id `before`."""
    start = f"({before}" if before else "+"
    with _translated():
        return cast(list[str], _client().zrevrangebylex(_LIST.format(tenant), start, "-", start=0, num=limit))


def waiting(operation: Operation) -> int:
    """How many jobs of an operation are queued."""
    with _translated():
        return int(_client().zcard(_WAITING.format(operation)))


def queue_position(job_id: str, operation: Operation) -> int:
    """How many queued jobs of the operation came before this one, and itself."""
    with _translated():
        return int(_client().zlexcount(_WAITING.format(operation), "-", f"[{job_id}"))


def wait_for_end(job_id: str, timeout_s: float) -> View | None:
    """The job's view as soon as it has ended, at the latest after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    with _translated(), _client().pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
        channel.subscribe(_ENDED.format(job_id))
        channel.get_message(timeout=_SOCKET_TIMEOUT_S)
        while True:
            current = view(job_id)
            remaining = deadline - time.monotonic()
            if current is None or current.status.terminal or remaining <= 0:
                return current
            channel.get_message(timeout=min(remaining, 1.0))


# Sweep -------------------------------------------------------------------------------------------------------------


def now_ms() -> int:
    """The present on Redis' clock, in milliseconds since 1970."""
    with _translated():
        seconds, micros = _client().time()
    return int(seconds * 1000 + micros // 1000)


def due(limit: int, *, skip: int = 0, as_of_ms: int | None = None) -> list[str]:
    """Open jobs whose time to be looked at has come, longest overdue first, without the first `skip` of them."""
    return _due(_OPEN, skip, limit, now_ms() if as_of_ms is None else as_of_ms)


def untidy(limit: int) -> list[str]:
    """Jobs that have ended and whose other runs must be over by now, so that what those left can be removed."""
    return _due(_TIDY, 0, limit, now_ms())


def note_tidy(job_id: str) -> None:
    """Notes that nothing is left of a job but what its end names."""
    with _translated():
        _client().zrem(_TIDY, job_id)


def _due(key: str, skip: int, limit: int, at_ms: int) -> list[str]:
    with _translated():
        return cast(list[str], _client().zrangebyscore(key, "-inf", at_ms, start=skip, num=limit))


def postpone(job_id: str, seconds: float, *, published: bool) -> None:
    """Has sweep look at an open job again in `seconds`; `published` notes that its message was sent anew."""
    at_ms = now_ms()
    with _translated():
        _client().zadd(_OPEN, {job_id: at_ms + int(seconds * 1000)}, xx=True)
        if published:
            _client().hset(_JOB.format(job_id), "published_ms", at_ms)


def hurry() -> int:
    """Has sweep look at once at every queued job, because the broker has lost their messages. How many they are."""
    return int(_run(_HURRY, [_OPEN], [_JOB.format("")]))


def forget_open(job_id: str) -> None:
    """Takes a job off the list of open ones, because nothing is known of it any more."""
    with _translated(), _client().pipeline(transaction=False) as pipe:
        pipe.zrem(_OPEN, job_id)
        for operation in Operation:
            pipe.zrem(_WAITING.format(operation), job_id)
        pipe.execute()


def swept_to() -> str:
    """The job id up to which the view holds all that the ledger does; empty after Redis came up empty."""
    with _translated():
        return str(_client().get(_SWEPT) or "")


def generation() -> str:
    """A name for what Redis holds: another one after it has lost everything."""
    with _translated():
        _client().set(_GENERATION, uuid.uuid4().hex, nx=True)
        return str(_client().get(_GENERATION))


def note_swept(job_id: str, generation: str) -> bool:
    """Notes that the view holds all that the ledger does up to a job.

    Not when Redis has lost everything since it was of that generation: then nothing is known of those before the job.
    """
    return bool(_run(_NOTE_SWEPT, [_SWEPT, _GENERATION], [job_id, generation]))


def in_flight() -> dict[Operation, int]:
    """Slots taken, per operation."""
    with _translated(), _client().pipeline(transaction=False) as pipe:
        for operation in Operation:
            pipe.zcount(_SLOTS.format(operation), int(time.time() * 1000), "+inf")
        return dict(zip(Operation, pipe.execute(), strict=True))


# Files -------------------------------------------------------------------------------------------------------------


def put_file(file_id: str, record: dict[str, Any]) -> None:
    """Keeps what is known of a file."""
    with _translated():
        _client().set(_FILE.format(file_id), json.dumps(record), ex=_ttl_s())


def await_file(file_id: str, record: dict[str, Any], *, expires_s: int) -> None:
    """Keeps what is known of a file that is to come, unless more is known of it already."""
    with _translated():
        _client().set(_FILE.format(file_id), json.dumps(record), ex=expires_s, nx=True)


def note_taken_in(file_id: str) -> None:
    """Notes that all that follows from an upload has been done. Kept until nobody asks any more."""
    with _translated():
        _client().set(_TAKEN_IN.format(file_id), 1, ex=settings().link_expiry_s + _TAKEN_IN_S)


def not_taken_in(file_ids: list[str]) -> list[str]:
    """Those of the files that `note_taken_in` was not called for."""
    with _translated(), _client().pipeline(transaction=False) as pipe:
        for file_id in file_ids:
            pipe.exists(_TAKEN_IN.format(file_id))
        return [file_id for file_id, noted in zip(file_ids, pipe.execute(), strict=True) if not noted]


def get_file(file_id: str) -> dict[str, Any] | None:
    """What is known of a file, or None."""
    with _translated():
        found = cast(str | None, _client().get(_FILE.format(file_id)))
    return None if found is None else dict(json.loads(found))
