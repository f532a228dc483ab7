#!lua flags=allow-oom
-- include: now
--
-- Makes jobs that are still open due later.

local open_jobs = KEYS[1]     -- sorted set by due time

local job_ids = ARGV[1]       -- a list as JSON
local due_in_ms = ARGV[2]
local published = ARGV[3]     -- '1' when their messages were published again
local view_prefix = ARGV[4]   -- the beginning of every view's key

for _, job_id in ipairs(cjson.decode(job_ids)) do
  if redis.call('ZSCORE', open_jobs, job_id) then
    redis.call('ZADD', open_jobs, now_ms + due_in_ms, job_id)
    if published == '1' then redis.call('HSET', view_prefix .. job_id, 'published_ms', now_ms) end
  end
end
