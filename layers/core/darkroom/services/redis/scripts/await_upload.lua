#!lua
-- include: store_limit
--
-- Creates the view of a job that starts when its upload arrives. Leaves a view that exists alone.
-- Returns 1, or 0 when the job has a view already.

local view = KEYS[1]          -- hash
local most_in_flight = KEYS[2] -- string: how many jobs of one operation the tenant may have in flight

local job_json = ARGV[1]
local ttl_s = ARGV[2]
local in_flight_limit = ARGV[3] -- see store_limit
local limit_ttl_s = ARGV[4]

store_limit(most_in_flight, in_flight_limit, limit_ttl_s)
if redis.call('EXISTS', view) == 1 then return 0 end

redis.call('HSET', view, 'status', 'queued', 'attempt', 0, 'awaits_upload', 1, 'job', job_json)
redis.call('EXPIRE', view, ttl_s)
return 1
