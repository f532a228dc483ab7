#!lua
-- include: now, usage
--
-- Records that an upload was ingested completely, and counts its bytes the first time. Its reservation ends.
-- What was uploaded before Redis began to count is counted by sweep.

local ingestion = KEYS[1]     -- string: the mark
local form = KEYS[2]          -- string: the reservation, as "<slot in which the form expires> <bytes>"
local usage = KEYS[3]         -- hash, see shared/usage.lua
local changed = KEYS[4]       -- set: tenants whose usage is not saved

local tenant = ARGV[1]
local ttl_s = ARGV[2]
local size_bytes = tonumber(ARGV[3])
local written_ms = tonumber(ARGV[4]) -- when the upload arrived, on S3's clock

local reserved = redis.call('GETDEL', form)
if reserved then
  local slot, bytes = string.match(reserved, '(%d+) (%d+)')
  local field = 'forms@' .. slot
  if redis.call('HEXISTS', usage, field) == 1 then redis.call('HINCRBY', usage, field, -bytes) end
end
if not redis.call('SET', ingestion, 1, 'EX', ttl_s, 'NX') then return end
touch_usage(usage, changed, tenant)
if written_ms >= tonumber(redis.call('HGET', usage, 'since_ms')) then
  add_usage(usage, 'bytes', written_ms, size_bytes)
end
