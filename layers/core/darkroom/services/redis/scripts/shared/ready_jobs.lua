-- The jobs of an operation that may start now: a sorted set `<ready>:<tenant>` for each tenant, by turn, and the sorted
-- set `ready` of these tenants, by the time at which each was served last. A queued job whose file has arrived is in one
-- of the former, in the set `delayed`, or holds a slot that no run has claimed.

-- A tenant that was not served for this time counts as served so long ago. It comes before those that were served since,
-- but not before one that has waited for longer.
local REMEMBERED_MS = 3600000

-- The turn of a job among those of its tenant: the time at which it came, in microseconds since 1970. Those that may wait
-- are after all others.
local function turn_of(came_us, priority)
  return came_us + (priority == 'batch' and 4e15 or 0)
end

local function tenant_of(job)
  return string.match(job, '^[^/]*')
end

-- Makes a queued job ready, and unblocks a dispatcher if it is the only one of its tenant: otherwise the others would be
-- started first. Includes `now` and `wake`.
local function make_ready(ready, served, delayed, freed_slots, job, turn)
  local tenant = tenant_of(job)
  if redis.call('ZADD', ready .. ':' .. tenant, 'NX', turn, job) == 0 then return end
  redis.call('ZREM', delayed, job)
  local served_ms = math.max(tonumber(redis.call('ZSCORE', served, tenant) or 0), now_us / 1000 - REMEMBERED_MS)
  if redis.call('ZADD', ready, 'NX', served_ms, tenant) == 1 then wake_dispatcher(freed_slots) end
end

-- Makes a queued job wait until `ready_ms`, or until a message of its own arrives.
local function delay(ready, delayed, job, ready_ms)
  local tenant = tenant_of(job)
  redis.call('ZADD', delayed, ready_ms, job)
  redis.call('ZREM', ready .. ':' .. tenant, job)
  if redis.call('EXISTS', ready .. ':' .. tenant) == 0 then redis.call('ZREM', ready, tenant) end
end

-- Records that a job waits no longer: it has started or ended.
local function leave_queue(ready, delayed, job)
  local tenant = tenant_of(job)
  redis.call('ZREM', delayed, job)
  if redis.call('ZREM', ready .. ':' .. tenant, job) == 1 and redis.call('EXISTS', ready .. ':' .. tenant) == 0 then
    redis.call('ZREM', ready, tenant)
  end
end
