#!lua flags=allow-oom
-- Takes a token from the bucket of a tenant, which has room for `capacity` of them and gets `rate` a second.
-- Returns 1 or 0 if there was none, the tokens that are left, and the microseconds until the next token and until the
-- bucket is full.

local bucket = KEYS[1]        -- string: when the bucket is full, in microseconds since 1970

local rate = tonumber(ARGV[1])
local capacity = tonumber(ARGV[2])

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local token_us = 1000000 / rate
-- The bucket is never emptier than empty: the quota may have changed, or the clock.
local full_us = math.min(math.max(tonumber(redis.call('GET', bucket) or 0), now_us), now_us + capacity * token_us)
local empty_us = now_us + (capacity - 1) * token_us  -- later than this, no token is left

local taken = full_us <= empty_us
if taken then
  full_us = full_us + token_us
  redis.call('SET', bucket, string.format('%.0f', full_us), 'PX', math.ceil((full_us - now_us) / 1000))
end
local left = math.floor((now_us + capacity * token_us - full_us) / token_us + 0.000001)
return {taken and 1 or 0, math.max(0, left), math.max(0, math.ceil(full_us - empty_us)), math.ceil(full_us - now_us)}
