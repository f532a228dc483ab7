#!lua flags=allow-oom
-- include: now, terminal, record_event, wake, free_slot, ready_jobs, queued
--
-- Moves a job from queued to running for one run. The attempt is the fencing token: each can be claimed once. A run that
-- claims again, because it got no answer, owns the job already.
-- Returns {'claimed', the job as JSON}, or {reason}: 'missing', 'leased', 'ended' or 'stale'.

local view = KEYS[1]          -- hash
local slots = KEYS[2]         -- sorted set: attempts by expiry time, see slot_of
local open_jobs = KEYS[3]     -- sorted set by due time
local freed_slots = KEYS[4]   -- list
local queued_jobs = KEYS[5]   -- sorted set: the operation's queued jobs by creation time
local permits = KEYS[6]       -- hash: the message that got each slot which no run has claimed
local ready = KEYS[7]         -- sorted set: tenants with jobs that may start, see make_ready
local delayed = KEYS[8]       -- sorted set: jobs by the time from which they may start
local queued_counts = KEYS[9] -- hash: how many queued jobs each tenant has

local job = ARGV[1]           -- <tenant>/<job id>
local attempt = tonumber(ARGV[2])
local run = ARGV[3]
local lease_ms = ARGV[4]
local grace_ms = ARGV[5]
local ttl_s = ARGV[6]

local status, last_attempt, job_json, owner = unpack(redis.call('HMGET', view, 'status', 'attempt', 'job', 'run'))
if not status then return {'missing'} end
local is_current = attempt == tonumber(last_attempt)
if status == 'running' and is_current and owner == run then return {'claimed', job_json} end
if status == 'running' then
  if not is_current then free_slot(slots, freed_slots, permits, job, attempt) end
  return {'leased'}
end
if TERMINAL[status] then
  free_slot(slots, freed_slots, permits, job, attempt)
  return {'ended'}
end
if attempt <= tonumber(last_attempt) then
  free_slot(slots, freed_slots, permits, job, attempt)
  return {'stale'}
end

local leased_until_ms = now_ms + lease_ms
redis.call('HSET', view, 'status', 'running', 'attempt', attempt, 'run', run, 'started_ms', now_ms, 'progress', 0,
  'leased_until_ms', leased_until_ms)
redis.call('HDEL', view, 'progressed_ms', 'speed', 'awaits_upload')
redis.call('EXPIRE', view, ttl_s)
record_event(view, now_ms, 'claimed', attempt)
dequeue(queued_jobs, queued_counts, job)
leave_queue(ready, delayed, job)
redis.call('HDEL', permits, slot_of(job, attempt))
redis.call('ZADD', slots, leased_until_ms, slot_of(job, attempt))
redis.call('ZADD', open_jobs, leased_until_ms + grace_ms, job)
return {'claimed', job_json}
