#!lua flags=allow-oom
-- include: now, terminal, record_event, wake, free_slot, ready_jobs
--
-- Shows how a job ended, frees the slots of its attempts and notifies the clients that wait for it.
-- Returns 1, 0 when the view was terminal already, or -1 when the job has no view.

local view = KEYS[1]          -- hash
local slots = KEYS[2]         -- sorted set: attempts by expiry time, see slot_of
local open_jobs = KEYS[3]     -- sorted set by due time
local freed_slots = KEYS[4]   -- list
local queued_jobs = KEYS[5]   -- sorted set: the operation's queued jobs by creation time
local permits = KEYS[6]       -- hash: the message that got each slot which no run has claimed
local ready = KEYS[7]         -- sorted set: tenants with jobs that may start, see make_ready
local delayed = KEYS[8]       -- sorted set: jobs by the time from which they may start
local end_channel = KEYS[9]   -- channel
local cleanups = KEYS[10]     -- sorted set by due time

local job = ARGV[1]           -- <tenant>/<job id>
local final_status = ARGV[2]
local result_json = ARGV[3]
local ttl_s = ARGV[4]
local finished_ms = ARGV[5]
local attempt = tonumber(ARGV[6])
local run = ARGV[7]
local uploaded_ms = ARGV[8]   -- '' when the run uploaded nothing
local longest_run_ms = ARGV[9]
local unknown_runs_ms = ARGV[10]
local grace_ms = ARGV[11]

redis.call('ZREM', open_jobs, job)
redis.call('ZREM', queued_jobs, job)
leave_queue(ready, delayed, job)

local status, owner, leased_until_ms, restored, last_attempt, dispatched =
  unpack(redis.call('HMGET', view, 'status', 'run', 'leased_until_ms', 'restored', 'attempt', 'dispatched'))
for _, each in ipairs({attempt, tonumber(last_attempt) or attempt, tonumber(dispatched) or attempt}) do
  free_slot(slots, freed_slots, permits, job, each)
end
if not status then return -1 end
if TERMINAL[status] then return 0 end

-- Other runs may have left outputs, or still will, unless the job's only run completed it.
local only_run = final_status == 'completed' and attempt == 1 and owner == run
if restored and tonumber(finished_ms) > now_ms - unknown_runs_ms then
  redis.call('ZADD', cleanups, now_ms + longest_run_ms + grace_ms, job)
elseif leased_until_ms and not only_run then
  redis.call('ZADD', cleanups, math.max(now_ms, tonumber(leased_until_ms)) + grace_ms, job)
end

redis.call('HSET', view, 'status', final_status, 'result', result_json)
redis.call('HDEL', view, 'run', 'awaits_upload', 'leased_until_ms', 'restored', 'dispatched', 'published_ms',
  'progressed_ms', 'speed', 'turn', 'next_attempt')
if uploaded_ms ~= '' then record_event(view, uploaded_ms, 'uploaded', attempt) end
record_event(view, finished_ms, final_status, attempt)
redis.call('EXPIRE', view, ttl_s)
redis.call('PUBLISH', end_channel, final_status)
return 1
