#!lua flags=allow-oom
-- include: now, wake, free_slot, ready_jobs
--
-- Frees the slot of an attempt whose run did not start. A job that is still queued is ready again.

local view = KEYS[1]          -- hash
local slots = KEYS[2]         -- sorted set: attempts by expiry time, see slot_of
local freed_slots = KEYS[3]   -- list
local permits = KEYS[4]       -- hash: the message that got each slot which no run has claimed
local ready = KEYS[5]         -- sorted set: tenants with jobs that may start, see make_ready
local served = KEYS[6]        -- sorted set: tenants by the time at which they were served last
local delayed = KEYS[7]       -- sorted set: jobs by the time from which they may start

local job = ARGV[1]           -- <tenant>/<job id>
local attempt = tonumber(ARGV[2])

local status, last_attempt, turn = unpack(redis.call('HMGET', view, 'status', 'attempt', 'turn'))
free_slot(slots, freed_slots, permits, job, attempt)
if status == 'queued' and attempt > tonumber(last_attempt) then
  make_ready(ready, served, delayed, freed_slots, job, turn or now_us)
end
