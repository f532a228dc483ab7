-- The queued jobs of an operation, and how many each tenant has over all operations.
local function count_queued(queued_counts, job, change)
  local tenant = string.match(job, '^[^/]*')
  if redis.call('HINCRBY', queued_counts, tenant, change) <= 0 then redis.call('HDEL', queued_counts, tenant) end
end

local function enqueue(queued_jobs, queued_counts, job, created_ms)
  if redis.call('ZADD', queued_jobs, created_ms, job) == 1 then count_queued(queued_counts, job, 1) end
end

local function dequeue(queued_jobs, queued_counts, job)
  if redis.call('ZREM', queued_jobs, job) == 1 then count_queued(queued_counts, job, -1) end
end
