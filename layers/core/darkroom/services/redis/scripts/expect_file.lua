#!lua
-- include: now, usage
--
-- Stores the record of a file that is not uploaded yet, and reserves the bytes that its upload may have until its form
-- expires. Leaves a record and a reservation that exist alone.

local file = KEYS[1]          -- string: the record
local form = KEYS[2]          -- string: the reservation, as "<slot in which the form expires> <bytes>"
local usage = KEYS[3]         -- hash, see shared/usage.lua
local changed = KEYS[4]       -- set: tenants whose usage is not saved

local tenant = ARGV[1]
local record_json = ARGV[2]
local expires_s = ARGV[3]
local reserved_bytes = ARGV[4] -- 0 when the tenant may store any number

redis.call('SET', file, record_json, 'EX', expires_s, 'NX')
if reserved_bytes == '0' then return end
local slot = math.floor((now_ms + expires_s * 1000) / SLOT_MS)
if redis.call('SET', form, slot .. ' ' .. reserved_bytes, 'EX', expires_s, 'NX') then
  touch_usage(usage, changed, tenant)
  redis.call('HINCRBY', usage, 'forms@' .. slot, reserved_bytes)
end
