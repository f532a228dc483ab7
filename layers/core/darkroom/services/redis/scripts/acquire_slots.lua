#!lua flags=allow-oom
-- include: now, terminal, record_event, wake, free_slot, view_of, ready_jobs
--
-- Each message of an operation is a permit to start one of its jobs, whichever: the job whose turn it is. This acquires a
-- slot for that job. Of the tenants with ready jobs and below their own limit, the one with the fewest slots is next, and
-- among those the one that was served longest ago. A tenant's own jobs start by turn. A message whose own job Redis does
-- not know starts that job.
--
-- Returns for each message {outcome, job, attempt, traceparent}. The outcome is 'acquired'; 'held' when the message got
-- the job before and no run has claimed it; 'full' when jobs are ready, but no slot is free for them; or, when no job is
-- ready, 'ended' or 'stale': the message's own job has ended, or was started.

local slots = KEYS[1]         -- sorted set: attempts by expiry time, see slot_of
local freed_slots = KEYS[2]   -- list
local permits = KEYS[3]       -- hash: the message that got each slot which no run has claimed
local ready = KEYS[4]         -- sorted set: tenants with jobs that may start, see make_ready
local served = KEYS[5]        -- sorted set: tenants by the time at which they were served last
local delayed = KEYS[6]       -- sorted set: jobs by the time from which they may start
local open_jobs = KEYS[7]     -- sorted set by due time

local messages_json = ARGV[1] -- a list of [job, attempt], each job as <tenant>/<job id>
local limit = tonumber(ARGV[2])
local hold_ms = ARGV[3]
local ttl_ms = ARGV[4]        -- of the set of slots
local view_prefix = ARGV[5]   -- the beginning of every view's key
local limit_prefix = ARGV[6]  -- the beginning of the keys of tenants' limits

local expired = redis.call('ZRANGEBYSCORE', slots, '-inf', now_ms)
redis.call('ZREMRANGEBYSCORE', slots, '-inf', now_ms)

local taken, in_flight = {}, {}
local free = limit
local function count_slot(slot)
  local tenant = tenant_of(slot)
  taken[slot] = true
  in_flight[tenant] = (in_flight[tenant] or 0) + 1
  free = free - 1
end
for _, slot in ipairs(redis.call('ZRANGE', slots, 0, -1)) do count_slot(slot) end

-- Makes a job ready that is queued and holds no slot for its next attempt, which is `attempt` at least.
-- Returns 'ended' or 'stale' for others, or nil when Redis does not know the job.
local function reconsider(job, attempt)
  local view = view_of(view_prefix, job)
  local status, last_attempt, next_attempt, turn =
    unpack(redis.call('HMGET', view, 'status', 'attempt', 'next_attempt', 'turn'))
  if not status then return nil end
  if TERMINAL[status] then return 'ended' end
  if status == 'running' or attempt <= tonumber(last_attempt) then return 'stale' end
  if attempt > math.max(tonumber(last_attempt) + 1, tonumber(next_attempt or 0)) then
    redis.call('HSET', view, 'next_attempt', attempt)
  end
  local following = math.max(attempt, tonumber(next_attempt or 0))
  if not taken[slot_of(job, following)] then make_ready(ready, served, delayed, freed_slots, job, turn or now_us) end
  return 'stale'
end

for _, slot in ipairs(expired) do
  local job, attempt = string.match(slot, '^(.*):(%d+)$')
  redis.call('HDEL', permits, slot)
  reconsider(job, tonumber(attempt))
end
for _, job in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', now_ms, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', delayed, job)
  reconsider(job, tonumber(redis.call('HGET', view_of(view_prefix, job), 'attempt') or 0) + 1)
end

local messages = cjson.decode(messages_json)
local reasons = {}
for index, message in ipairs(messages) do reasons[index] = reconsider(message[1], message[2]) or false end

-- The slots that each message got before and that no run has claimed. A message that was repeated may have got several.
local got = {}
local pairs_of_permits = redis.call('HGETALL', permits)
for index = 1, #pairs_of_permits, 2 do
  local slot, message = pairs_of_permits[index], pairs_of_permits[index + 1]
  if taken[slot] then
    got[message] = got[message] or {}
    table.insert(got[message], slot)
  else
    redis.call('HDEL', permits, slot)
  end
end

-- The tenants with ready jobs, in one line for each number of slots that they have. Each line is in the order of the last
-- service: a tenant that is served joins the end of the next line.
local lines, fewest, most, waiting = {}, math.huge, 0, 0
local function join_line(tenant)
  local count = in_flight[tenant] or 0
  lines[count] = lines[count] or {first = 1, last = 0}
  local line = lines[count]
  line.last = line.last + 1
  line[line.last] = tenant
  fewest, most, waiting = math.min(fewest, count), math.max(most, count), waiting + 1
end
for _, tenant in ipairs(redis.call('ZRANGE', ready, 0, -1)) do join_line(tenant) end

local function leave_line()
  for count = fewest, most do
    local line = lines[count]
    fewest = count
    if line and line.first <= line.last then
      line.first = line.first + 1
      waiting = waiting - 1
      return line[line.first - 1]
    end
  end
end

-- The next job of a tenant, the fields of its view, and its attempt; nil when the tenant has none.
local function next_job_of(tenant)
  while true do
    local job = redis.call('ZPOPMIN', ready .. ':' .. tenant)[1]
    if not job then return nil end
    local status, last_attempt, next_attempt, job_json =
      unpack(redis.call('HMGET', view_of(view_prefix, job), 'status', 'attempt', 'next_attempt', 'job'))
    local attempt = math.max(tonumber(last_attempt or 0) + 1, tonumber(next_attempt or 0))
    local is_startable = status == 'queued' and not taken[slot_of(job, attempt)]
    if is_startable then return job, attempt, job_json end
  end
end

-- Tenants whose ready jobs exceed their own limit.
local at_limit = 0
-- The time at which each tenant was served in this call. The fractions, which are below the clock's, keep the order.
local served_ms, services = {}, 0

-- The job whose turn it is, with what `next_job_of` returns.
local function next_job()
  while true do
    local tenant = leave_line()
    if not tenant then return nil end
    if (in_flight[tenant] or 0) >= tonumber(redis.call('GET', limit_prefix .. tenant) or math.huge) then
      at_limit = at_limit + 1
    else
      local job, attempt, job_json = next_job_of(tenant)
      if job then
        services = services + 1
        served_ms[tenant] = now_us / 1000 + services / 4096
        return job, attempt, job_json
      end
      redis.call('ZREM', ready, tenant)
    end
  end
end

local function acquire(message, job, attempt, is_known)
  local view, slot = view_of(view_prefix, job), slot_of(job, attempt)
  redis.call('ZADD', slots, now_ms + hold_ms, slot)
  redis.call('HSET', permits, slot, message)
  count_slot(slot)
  if is_known then
    redis.call('ZADD', open_jobs, 'XX', now_ms + hold_ms, job)
    redis.call('HSET', view, 'dispatched', attempt)
    record_event(view, now_ms, 'dispatched', attempt)
  end
end

local function traceparent_of(job_json)
  return string.match(job_json or '', '"traceparent":"([^"]*)"') or ''
end

local function hold(slot)
  local job, attempt = string.match(slot, '^(.*):(%d+)$')
  redis.call('ZADD', slots, now_ms + hold_ms, slot)
  return {'held', job, tonumber(attempt), traceparent_of(redis.call('HGET', view_of(view_prefix, job), 'job'))}
end

local function serve(own_job, own_attempt, reason)
  local message = slot_of(own_job, own_attempt)
  local slot = got[message] and table.remove(got[message], 1)
  if slot then return hold(slot) end
  if not reason and taken[message] then return hold(message) end
  if free <= 0 and (waiting + at_limit > 0 or not reason) then return {'full'} end
  if not reason then
    acquire(message, own_job, own_attempt, false)
    return {'acquired', own_job, own_attempt, ''}
  end
  local job, attempt, job_json = next_job()
  if not job then return {at_limit > 0 and 'full' or reason} end
  acquire(message, job, attempt, true)
  local tenant = tenant_of(job)
  if redis.call('EXISTS', ready .. ':' .. tenant) == 1 then join_line(tenant) else redis.call('ZREM', ready, tenant) end
  return {'acquired', job, attempt, traceparent_of(job_json)}
end

local outcomes, is_full = {}, false
for index, message in ipairs(messages) do
  outcomes[index] = serve(message[1], message[2], reasons[index])
  is_full = is_full or outcomes[index][1] == 'full'
end

for tenant, at_ms in pairs(served_ms) do
  redis.call('ZADD', served, at_ms, tenant)
  redis.call('ZADD', ready, 'XX', at_ms, tenant)
end
redis.call('ZREMRANGEBYSCORE', served, '-inf', now_ms - REMEMBERED_MS)
redis.call('PEXPIRE', served, REMEMBERED_MS)
redis.call('PEXPIRE', slots, ttl_ms)
redis.call('PEXPIRE', permits, ttl_ms)
-- All slots are taken: those that were freed before this are no reason to try again.
if is_full then redis.call('DEL', freed_slots) end
return outcomes
