#!lua flags=allow-oom
-- include: now, record_event, wake, free_slot, ready_jobs, queued
--
-- Ends an attempt that failed: the job is queued again, with a delay, and its slot is free.
-- Returns 1, 0 when the attempt is not the job's current one, or -1 when the job has no view.

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
local run = ARGV[3]           -- '' when the run is known to be dead: then the attempt alone is the fencing token
local failure_json = ARGV[4]
local due_in_ms = ARGV[5]
local uses_attempt = ARGV[6]  -- '0' after an outage
local kept_errors = tonumber(ARGV[7])
local created_ms = ARGV[8]
local delay_ms = ARGV[9]

local status, last_attempt, owner, errors = unpack(redis.call('HMGET', view, 'status', 'attempt', 'run', 'errors'))
if not status then return -1 end

local is_running = status == 'running' and attempt == tonumber(last_attempt) and (run == '' or run == owner)
local died_before_claim = status == 'queued' and run == '' and attempt > tonumber(last_attempt)
if not is_running and not died_before_claim then return 0 end

local kept = {}
for line in string.gmatch(errors or '', '[^\n]+') do kept[#kept + 1] = line end
kept[#kept + 1] = failure_json
local first = math.max(1, #kept - kept_errors + 1)

redis.call('HSET', view, 'status', 'queued', 'attempt', attempt, 'progress', 0, 'published_ms', now_ms,
  'errors', table.concat(kept, '\n', first))
redis.call('HINCRBY', view, 'failed_attempts', uses_attempt)
redis.call('HDEL', view, 'run')
record_event(view, now_ms, 'attempt_failed', attempt)
enqueue(queued_jobs, queued_counts, job, created_ms)
delay(ready, delayed, job, now_ms + delay_ms)
redis.call('ZADD', open_jobs, now_ms + due_in_ms, job)
free_slot(slots, freed_slots, permits, job, attempt)
return 1
