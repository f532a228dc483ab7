#!lua
-- include: now
--
-- Records that an API key is used now. Its tenant waits from the first use on that is not saved in S3 yet.

local uses = KEYS[1]          -- hash: the time of the last use of each key of the tenant, in seconds since 1970
local unsaved = KEYS[2]       -- sorted set: tenants by the time of their first use that is not saved

local tenant = ARGV[1]
local key_id = ARGV[2]
local ttl_s = ARGV[3]

redis.call('HSET', uses, key_id, math.floor(now_ms / 1000))
redis.call('EXPIRE', uses, ttl_s)
redis.call('ZADD', unsaved, 'NX', now_ms, tenant)
