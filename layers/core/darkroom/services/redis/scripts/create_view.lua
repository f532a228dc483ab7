#!lua
-- include: now, record_event, wake, ready_jobs, store_limit, usage, queued
--
-- Creates the view of an accepted job, queued, and counts the job. Replaces a view that is queued and awaits its upload.
-- Returns 1, or 0 when the job has a view already.

local view = KEYS[1]          -- hash
local jobs = KEYS[2]          -- sorted set: the tenant's latest jobs
local open_jobs = KEYS[3]     -- sorted set by due time
local queued_jobs = KEYS[4]   -- sorted set: the operation's queued jobs by creation time
local ready = KEYS[5]         -- sorted set: tenants with jobs that may start, see make_ready
local served = KEYS[6]        -- sorted set: tenants by the time at which they were served last
local delayed = KEYS[7]       -- sorted set: jobs by the time from which they may start
local freed_slots = KEYS[8]   -- list
local most_in_flight = KEYS[9] -- string: how many jobs of one operation the tenant may have in flight
local queued_counts = KEYS[10] -- hash: how many queued jobs each tenant has
local usage = KEYS[11]         -- hash, see shared/usage.lua
local changed = KEYS[12]       -- set: tenants whose usage is not saved

local job = ARGV[1]           -- <tenant>/<job id>
local job_json = ARGV[2]
local ttl_s = ARGV[3]
local due_in_ms = ARGV[4]
local oldest_id = ARGV[5]     -- the list of jobs drops every id below it
local list_ttl_s = ARGV[6]
local accepted_ms = ARGV[7]
local restored = ARGV[8]      -- '1' when Redis may have lost an earlier view
local job_id = ARGV[9]
local created_ms = tonumber(ARGV[10])
local priority = ARGV[11]     -- see turn_of
local delay_ms = ARGV[12]     -- 0: it may start at once
local in_flight_limit = ARGV[13] -- see store_limit
local tenant = ARGV[14]

local status, awaits_upload = unpack(redis.call('HMGET', view, 'status', 'awaits_upload'))
if status and not (status == 'queued' and awaits_upload) then return 0 end

-- Of a view that Redis lost, only the id says when the job came.
local turn = turn_of(restored == '1' and created_ms * 1000 or now_us, priority)
redis.call('HDEL', view, 'awaits_upload')
redis.call('HSET', view, 'status', 'queued', 'attempt', 0, 'job', job_json, 'published_ms', now_ms,
  'turn', turn)
if restored == '1' then redis.call('HSET', view, 'restored', 1) end
record_event(view, accepted_ms, 'accepted', 0)
redis.call('EXPIRE', view, ttl_s)

-- One that is restored may be counted already: before Redis lost its data, or before it left the list of latest jobs.
-- What Redis lost is counted again by sweep.
touch_usage(usage, changed, tenant)
local recounted_from_ms = tonumber(redis.call('HGET', usage, 'recounted_from_ms') or math.huge)
count_open(usage, created_ms, 1)
if restored == '0' or created_ms >= math.max(recounted_from_ms, created_ms_of(oldest_id)) then
  count_job(usage, jobs, job_id)
end
redis.call('ZREMRANGEBYLEX', jobs, '-', '(' .. oldest_id)
redis.call('EXPIRE', jobs, list_ttl_s)

redis.call('ZADD', open_jobs, now_ms + due_in_ms, job)
enqueue(queued_jobs, queued_counts, job, created_ms)
store_limit(most_in_flight, in_flight_limit, ttl_s)
if delay_ms == '0' then
  make_ready(ready, served, delayed, freed_slots, job, turn)
else
  delay(ready, delayed, job, now_ms + delay_ms)
end
return 1
