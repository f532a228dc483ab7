#!lua flags=allow-oom
-- include: now
--
-- Records that sweep recovers due jobs now. Returns when the latest gap between two passes ended, or 0.

local last_pass = KEYS[1]     -- string: milliseconds since 1970
local gap_end = KEYS[2]       -- string: milliseconds since 1970

local longest_ms = ARGV[1]    -- a longer time between two passes is a gap
local pass_ttl_ms = ARGV[2]
local gap_ttl_ms = ARGV[3]

local previous_ms = redis.call('GET', last_pass)
redis.call('SET', last_pass, now_ms, 'PX', pass_ttl_ms)
if previous_ms and now_ms - previous_ms > tonumber(longest_ms) then
  redis.call('SET', gap_end, now_ms, 'PX', gap_ttl_ms)
end
return tonumber(redis.call('GET', gap_end) or 0)
