#!lua flags=allow-oom
-- include: now, terminal, record_event, wake, free_slot, ready_jobs, usage, queued
--
-- Shows how a job ended, counts what it produced, frees the slots of its attempts and notifies the clients that wait.
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
local queued_counts = KEYS[11] -- hash: how many queued jobs each tenant has
local usage = KEYS[12]        -- hash, see shared/usage.lua
local changed = KEYS[13]      -- set: tenants whose usage is not saved

local job = ARGV[1]           -- <tenant>/<job id>
local final_status = ARGV[2]
local result_json = ARGV[3]
local ttl_s = ARGV[4]
local finished_ms = tonumber(ARGV[5])
local attempt = tonumber(ARGV[6])
local run = ARGV[7]
local uploaded_ms = ARGV[8]   -- '' when the run uploaded nothing
local longest_run_ms = ARGV[9]
local unknown_runs_ms = ARGV[10]
local grace_ms = ARGV[11]
local tenant = ARGV[12]
local video_ms = tonumber(ARGV[13])
local output_bytes = tonumber(ARGV[14])
local created_ms = tonumber(ARGV[15])

redis.call('ZREM', open_jobs, job)
dequeue(queued_jobs, queued_counts, job)
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
if restored and finished_ms > now_ms - unknown_runs_ms then
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

count_open(usage, created_ms, -1)
-- What ended before Redis began to count is counted by sweep. What ended longer ago than a view is kept was counted then.
if video_ms + output_bytes > 0 then
  touch_usage(usage, changed, tenant)
  local since_ms = tonumber(redis.call('HGET', usage, 'since_ms'))
  if finished_ms >= math.max(since_ms, now_ms - ttl_s * 1000) then
    count_outputs(usage, created_ms, finished_ms, video_ms, output_bytes)
  end
end
redis.call('PUBLISH', end_channel, final_status)
return 1
