#!lua
-- include: now, record_event
--
-- Creates the view of an accepted job, queued. Replaces a view that is queued and awaits its upload.
-- Returns 1, or 0 when the job has a view already.

local view = KEYS[1]          -- hash
local jobs = KEYS[2]          -- sorted set: the tenant's latest jobs
local open_jobs = KEYS[3]     -- sorted set by due time
local queued_jobs = KEYS[4]   -- sorted set: the operation's queued jobs by creation time

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

local status, awaits_upload = unpack(redis.call('HMGET', view, 'status', 'awaits_upload'))
if status and not (status == 'queued' and awaits_upload) then return 0 end

redis.call('HDEL', view, 'awaits_upload')
redis.call('HSET', view, 'status', 'queued', 'attempt', 0, 'job', job_json, 'published_ms', now_ms)
if restored == '1' then redis.call('HSET', view, 'restored', 1) end
record_event(view, accepted_ms, 'accepted', 0)
redis.call('EXPIRE', view, ttl_s)

redis.call('ZADD', jobs, 0, job_id)
redis.call('ZREMRANGEBYLEX', jobs, '-', '(' .. oldest_id)
redis.call('EXPIRE', jobs, list_ttl_s)

redis.call('ZADD', open_jobs, now_ms + due_in_ms, job)
redis.call('ZADD', queued_jobs, created_ms, job)
return 1
