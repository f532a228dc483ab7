#!lua flags=allow-oom
-- include: now, view_of
--
-- Makes every queued job due for sweep at once. Returns how many there are.

local open_jobs = KEYS[1]     -- sorted set by due time

local view_prefix = ARGV[1]   -- the beginning of every view's key

local count = 0
for _, job in ipairs(redis.call('ZRANGE', open_jobs, 0, -1)) do
  if redis.call('HGET', view_of(view_prefix, job), 'status') == 'queued' then
    redis.call('ZADD', open_jobs, now_ms, job)
    count = count + 1
  end
end
return count
