#!lua flags=allow-oom
-- include: now, terminal, record_event, wake, free_slot, ready_jobs, queued
--
-- Records a run's progress, which never decreases.
-- Returns 0 when the run no longer owns the job: it has ended, or its attempt has, or another run of this or a later
-- attempt owns it. Else returns 1. A job without a view counts as owned: the ledger decides.
--
-- A view that was restored after Redis lost its data does not know the run, whose attempt is later than the last that it
-- knows. Then the run adopts it, so that no other run starts.

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
local progress = ARGV[4]      -- from 0 to 1
local speed = ARGV[5]         -- seconds of media per second, or ''
local lease_ms = ARGV[6]      -- the time that the run has left
local grace_ms = ARGV[7]

local owner, status, last_attempt, last_progress =
  unpack(redis.call('HMGET', view, 'run', 'status', 'attempt', 'progress'))
if not status then return 1 end
if TERMINAL[status] then return 0 end

if attempt > tonumber(last_attempt) then
  local leased_until_ms = now_ms + lease_ms
  redis.call('HSET', view, 'status', 'running', 'attempt', attempt, 'run', run, 'progress', 0, 'started_ms', now_ms,
    'leased_until_ms', leased_until_ms)
  redis.call('HDEL', view, 'progressed_ms', 'awaits_upload')
  record_event(view, now_ms, 'claimed', attempt)
  dequeue(queued_jobs, queued_counts, job)
  leave_queue(ready, delayed, job)
  redis.call('HDEL', permits, slot_of(job, attempt))
  redis.call('ZADD', slots, leased_until_ms, slot_of(job, attempt))
  redis.call('ZADD', open_jobs, leased_until_ms + grace_ms, job)
  last_progress = 0
elseif owner ~= run or status ~= 'running' then
  return 0
end

if tonumber(progress) > tonumber(last_progress) then
  redis.call('HSET', view, 'progress', progress, 'progressed_ms', now_ms, 'speed', speed)
end
return 1
