#!lua flags=allow-oom
-- include: now, terminal, wake, free_slot, ready_jobs, queued, view_of
--
-- Removes jobs of a deleted tenant from everything that lists them. The view of a job that has not ended is kept for
-- `stop_s`, canceled: so its run stops, and a message of it starts none.
-- Returns how many of the jobs had a view that was not forgotten before.

local latest_jobs = KEYS[1]   -- sorted set: the tenant's latest jobs
local open_jobs = KEYS[2]     -- sorted set by due time
local cleanups = KEYS[3]      -- sorted set by due time
local queued_counts = KEYS[4] -- hash: how many queued jobs each tenant has

local tenant = ARGV[1]
local job_ids = ARGV[2]       -- a list as JSON
local view_prefix = ARGV[3]   -- the beginning of every view's key
local operations = ARGV[4]    -- a list as JSON: for each operation the keys that are unpacked below
local stop_s = ARGV[5]

local known = 0
local sets = cjson.decode(operations)
for _, job_id in ipairs(cjson.decode(job_ids)) do
  local job = tenant .. '/' .. job_id
  local view = view_of(view_prefix, job)
  local status, attempt, dispatched, forgotten =
    unpack(redis.call('HMGET', view, 'status', 'attempt', 'dispatched', 'forgotten'))
  redis.call('ZREM', latest_jobs, job_id)
  redis.call('ZREM', open_jobs, job)
  redis.call('ZREM', cleanups, job)
  for _, names in ipairs(sets) do
    local queued_jobs, ready, delayed, slots, freed_slots, permits = unpack(names)
    dequeue(queued_jobs, queued_counts, job)
    leave_queue(ready, delayed, job)
    if attempt then free_slot(slots, freed_slots, permits, job, attempt) end
    if dispatched then free_slot(slots, freed_slots, permits, job, dispatched) end
  end
  if status and not forgotten then
    known = known + 1
    if TERMINAL[status] then
      redis.call('DEL', view)
    else
      redis.call('HSET', view, 'status', 'canceled', 'forgotten', 1)
      redis.call('EXPIRE', view, stop_s)
    end
  end
end
return known
