#!lua flags=allow-oom
-- Records that the usage of a tenant is saved, and removes fields that are no longer needed. One that has changed since
-- it was read is saved again.

local usage = KEYS[1]         -- hash, see shared/usage.lua
local changed = KEYS[2]       -- set: tenants whose usage is not saved

local tenant = ARGV[1]
local changes = ARGV[2]       -- of the usage that was saved
local unneeded = ARGV[3]      -- a list of fields as JSON

for _, name in ipairs(cjson.decode(unneeded)) do redis.call('HDEL', usage, name) end
if redis.call('HGET', usage, 'changes') == changes then redis.call('SREM', changed, tenant) end
