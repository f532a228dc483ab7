#!lua flags=allow-oom
-- include: now, terminal, record_event, free_slot, view_of
--
-- Acquires slots of one operation for attempts of jobs, in their order. An attempt that holds one keeps it for another
-- `hold_ms`. Returns for each attempt 'acquired', 'held', 'full', 'stale' (it was started already) or 'ended'.

local slots = KEYS[1]         -- sorted set: attempts by expiry time, see slot_of
local freed_slots = KEYS[2]   -- list

local attempts_json = ARGV[1] -- a list of [job, attempt], each job as <tenant>/<job id>
local limit = tonumber(ARGV[2])
local hold_ms = ARGV[3]
local slots_ttl_ms = ARGV[4]
local view_prefix = ARGV[5]   -- the beginning of every view's key

redis.call('ZREMRANGEBYSCORE', slots, '-inf', now_ms)
local free = limit - redis.call('ZCARD', slots)

local function acquire(job, attempt)
  local view, slot = view_of(view_prefix, job), slot_of(job, attempt)
  local status, last_attempt = unpack(redis.call('HMGET', view, 'status', 'attempt'))
  if status then
    if TERMINAL[status] then return 'ended' end
    if status == 'running' or attempt <= tonumber(last_attempt) then return 'stale' end
  end
  local held = redis.call('ZSCORE', slots, slot)
  if not held and free <= 0 then return 'full' end
  redis.call('ZADD', slots, now_ms + hold_ms, slot)
  if status then redis.call('HSET', view, 'dispatched', attempt) end
  if held then return 'held' end
  free = free - 1
  if status then record_event(view, now_ms, 'dispatched', attempt) end
  return 'acquired'
end

local outcomes, is_full = {}, false
for index, entry in ipairs(cjson.decode(attempts_json)) do
  outcomes[index] = acquire(entry[1], entry[2])
  is_full = is_full or outcomes[index] == 'full'
end
redis.call('PEXPIRE', slots, slots_ttl_ms)
-- All slots are taken: those that were freed before this are no reason to try again.
if is_full then redis.call('DEL', freed_slots) end
return outcomes
