#!lua flags=allow-oom
-- include: now, usage
--
-- Begins the recount of what a tenant used before Redis began to count, unless that was less than `wait_ms` ago, or
-- the recount has begun. A tenant without usage begins to be counted.

local usage = KEYS[1]         -- hash, see shared/usage.lua
local changed = KEYS[2]       -- set: tenants whose usage is not saved

local tenant = ARGV[1]
local wait_ms = ARGV[2]
local saved_totals = ARGV[3]  -- a list as JSON of [field, amount], of what need not be counted again
local jobs_from_ms = ARGV[4]  -- jobs with ids from this time on are counted again
local ended_from_ms = ARGV[5] -- so is what was stored or ended from this time on
local position = ARGV[6]      -- the key after which the listing begins

local since_ms, recounted, begun = unpack(redis.call('HMGET', usage, 'since_ms', 'recounted_from_ms', 'position'))
if not since_ms then touch_usage(usage, changed, tenant) end
if recounted or begun or not since_ms or now_ms - since_ms < tonumber(wait_ms) then return end

for _, entry in ipairs(cjson.decode(saved_totals)) do redis.call('HINCRBY', usage, entry[1], entry[2]) end
redis.call('HSET', usage, 'position', position, 'jobs_from_ms', jobs_from_ms, 'ended_from_ms', ended_from_ms)
touch_usage(usage, changed, tenant)
