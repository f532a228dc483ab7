#!lua
-- include: now, record_event, wake, ready_jobs, store_limit
--
-- Creates the view of an accepted job, queued. Replaces a view that is queued and awaits its upload.
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

local job = ARGV[1]           -- <tenant>/<job id>
local job_json = ARGV[2]
local ttl_s = ARGV[3]
local due_in_ms = ARGV[4]
local oldest_id = ARGV[5]     -- the list of jobs drops every id below it
local list_ttl_s = ARGV[6]
local accepted_ms = ARGV[7]
local restored = ARGV[8]      -- '1' when Redis may have lost an earlier view
local job_id = ARGV[9]
local created_ms = ARGV[10]
local priority = ARGV[11]     -- see turn_of
local delay_ms = ARGV[12]     -- 0: it may start at once
local in_flight_limit = ARGV[13] -- see store_limit

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

redis.call('ZADD', jobs, 0, job_id)
redis.call('ZREMRANGEBYLEX', jobs, '-', '(' .. oldest_id)
redis.call('EXPIRE', jobs, list_ttl_s)

redis.call('ZADD', open_jobs, now_ms + due_in_ms, job)
redis.call('ZADD', queued_jobs, created_ms, job)
store_limit(most_in_flight, in_flight_limit, ttl_s)
if delay_ms == '0' then
  make_ready(ready, served, delayed, freed_slots, job, turn)
else
  delay(ready, delayed, job, now_ms + delay_ms)
end
return 1
