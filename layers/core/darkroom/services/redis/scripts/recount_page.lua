#!lua flags=allow-oom
-- include: now, usage
--
-- Counts what one page of a listing holds, unless another pass has counted it already.
-- Returns 1, or 0 when it was counted before, or Redis has lost its data.

local usage = KEYS[1]         -- hash, see shared/usage.lua
local jobs = KEYS[2]          -- sorted set: the tenant's latest jobs
local changed = KEYS[3]       -- set: tenants whose usage is not saved

local tenant = ARGV[1]
local expected = ARGV[2]      -- the key after which the page begins
local following = ARGV[3]     -- the key after which the next one begins; '' after the last page
local job_ids = ARGV[4]       -- a list as JSON
local uploads = ARGV[5]       -- a list as JSON of [time of the upload, bytes]
local ended_jobs = ARGV[6]    -- a list as JSON of [time of the job's id, time of its end, milliseconds of video, bytes]
local list_ttl_s = ARGV[7]

if redis.call('HGET', usage, 'position') ~= expected then return 0 end

touch_usage(usage, changed, tenant)
for _, job_id in ipairs(cjson.decode(job_ids)) do count_job(usage, jobs, job_id) end
redis.call('EXPIRE', jobs, list_ttl_s)
for _, upload in ipairs(cjson.decode(uploads)) do add_usage(usage, 'bytes', upload[1], upload[2]) end
for _, ended in ipairs(cjson.decode(ended_jobs)) do count_outputs(usage, ended[1], ended[2], ended[3], ended[4]) end
if following ~= '' then
  redis.call('HSET', usage, 'position', following)
else
  redis.call('HSET', usage, 'recounted_from_ms', redis.call('HGET', usage, 'jobs_from_ms'))
  redis.call('HDEL', usage, 'position', 'jobs_from_ms', 'ended_from_ms')
end
return 1
