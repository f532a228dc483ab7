#!lua flags=allow-oom
-- include: now, terminal, record_event, free_slot
--
-- Acquires a slot of the operation for one attempt. An attempt that holds one keeps it for another `hold_ms`.
-- Returns 'acquired', 'full', 'stale' (the attempt was started already) or 'ended'.

local view = KEYS[1]          -- hash
local slots = KEYS[2]         -- sorted set: attempts by expiry time, see slot_of

local job_id = ARGV[1]
local attempt = tonumber(ARGV[2])
local limit = tonumber(ARGV[3])
local hold_ms = ARGV[4]
local slots_ttl_ms = ARGV[5]

local status, last_attempt = unpack(redis.call('HMGET', view, 'status', 'attempt'))
if status then
  if TERMINAL[status] then return 'ended' end
  if status == 'running' or attempt <= tonumber(last_attempt) then return 'stale' end
end

redis.call('ZREMRANGEBYSCORE', slots, '-inf', now_ms)
local held = redis.call('ZSCORE', slots, slot_of(job_id, attempt))
if not held and redis.call('ZCARD', slots) >= limit then return 'full' end

redis.call('ZADD', slots, now_ms + hold_ms, slot_of(job_id, attempt))
redis.call('PEXPIRE', slots, slots_ttl_ms)
if status then
  redis.call('HSET', view, 'dispatched', attempt)
  if not held then record_event(view, now_ms, 'dispatched', attempt) end
end
return 'acquired'
