#!lua flags=allow-oom
-- include: now, view_of
--
-- Makes queued jobs due later. Others stay as they are: a run that has claimed its job meanwhile has a lease, and before
-- its end the job must not become due.

local open_jobs = KEYS[1]     -- sorted set by due time

local jobs = ARGV[1]          -- a list as JSON, each job as <tenant>/<job id>
local due_in_ms = ARGV[2]
local published = ARGV[3]     -- '1' when their messages were published again
local view_prefix = ARGV[4]   -- the beginning of every view's key

for _, job in ipairs(cjson.decode(jobs)) do
  local view = view_of(view_prefix, job)
  if redis.call('HGET', view, 'status') == 'queued' and redis.call('ZSCORE', open_jobs, job) then
    redis.call('ZADD', open_jobs, now_ms + due_in_ms, job)
    if published == '1' then redis.call('HSET', view, 'published_ms', now_ms) end
  end
end
