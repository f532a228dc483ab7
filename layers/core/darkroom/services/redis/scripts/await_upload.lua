#!lua
-- Creates the view of a job that starts when its upload arrives. Leaves a view that exists alone.
-- Returns 1, or 0 when the job has a view already.

local view = KEYS[1]          -- hash

local job_json = ARGV[1]
local ttl_s = ARGV[2]

if redis.call('EXISTS', view) == 1 then return 0 end

redis.call('HSET', view, 'status', 'queued', 'attempt', 0, 'awaits_upload', 1, 'job', job_json)
redis.call('EXPIRE', view, ttl_s)
return 1
