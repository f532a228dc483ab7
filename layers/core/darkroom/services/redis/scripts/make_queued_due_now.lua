#!lua flags=allow-oom
-- include: now
--
-- Makes every queued job due for sweep at once. Returns how many there are.

local open_jobs = KEYS[1]     -- sorted set by due time

local view_prefix = ARGV[1]   -- the beginning of every view's key

local count = 0
for _, job_id in ipairs(redis.call('ZRANGE', open_jobs, 0, -1)) do
  if redis.call('HGET', view_prefix .. job_id, 'status') == 'queued' then
    redis.call('ZADD', open_jobs, now_ms, job_id)
    count = count + 1
  end
end
return count
