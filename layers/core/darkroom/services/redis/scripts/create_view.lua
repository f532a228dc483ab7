#!lua
-- include: now, record_event, usage, queued
--
-- Creates the view of an accepted job, queued, and counts the job. Replaces a view that is queued and awaits its upload.
-- Returns 1, or 0 when the job has a view already.

local view = KEYS[1]          -- hash
local jobs = KEYS[2]          -- sorted set: the tenant's latest jobs
local open_jobs = KEYS[3]     -- sorted set by due time
local queued_jobs = KEYS[4]   -- sorted set: the operation's queued jobs by creation time
local queued_counts = KEYS[5] -- hash: how many queued jobs each tenant has
local usage = KEYS[6]         -- hash, see shared/usage.lua
local changed = KEYS[7]       -- set: tenants whose usage is not saved

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
local tenant = ARGV[11]

local status, awaits_upload = unpack(redis.call('HMGET', view, 'status', 'awaits_upload'))
if status and not (status == 'queued' and awaits_upload) then return 0 end

redis.call('HDEL', view, 'awaits_upload')
redis.call('HSET', view, 'status', 'queued', 'attempt', 0, 'job', job_json, 'published_ms', now_ms)
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
return 1
