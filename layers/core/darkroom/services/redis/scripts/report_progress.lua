-- include: now
--
-- Records a run's progress, which never decreases.
-- Returns 0 when the run no longer owns the job, else 1. A job without a view counts as owned: the ledger decides.

local view = KEYS[1]          -- hash

local run = ARGV[1]
local progress = ARGV[2]      -- from 0 to 1
local speed = ARGV[3]         -- seconds of media per second, or ''

local owner, status, last_progress = unpack(redis.call('HMGET', view, 'run', 'status', 'progress'))
if not status then return 1 end
if owner ~= run or status ~= 'running' then return 0 end

if tonumber(progress) > tonumber(last_progress) then
  redis.call('HSET', view, 'progress', progress, 'progressed_ms', now_ms, 'speed', speed)
end
return 1
