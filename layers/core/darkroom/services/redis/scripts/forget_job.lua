#!lua flags=allow-oom
-- include: queued
--
-- Removes a job that does not exist, or has ended, from the open and the queued jobs.

local open_jobs = KEYS[1]     -- sorted set by due time
local queued_counts = KEYS[2] -- hash: how many queued jobs each tenant has

local job = ARGV[1]           -- <tenant>/<job id>
local queues = ARGV[2]        -- a list as JSON: of each operation the queued jobs, the tenant's ready ones, the delayed ones

redis.call('ZREM', open_jobs, job)
for _, names in ipairs(cjson.decode(queues)) do
  local queued_jobs, ready_jobs, delayed = unpack(names)
  dequeue(queued_jobs, queued_counts, job)
  redis.call('ZREM', ready_jobs, job)
  redis.call('ZREM', delayed, job)
end
