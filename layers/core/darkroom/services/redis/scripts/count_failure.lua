#!lua
-- Counts a failed authentication from one address. Returns the failures in the present window, and the milliseconds
-- until it ends.

local failures = KEYS[1]      -- string: the count; expires with the window

local window_ms = ARGV[1]

local count = redis.call('INCR', failures)
if count == 1 then redis.call('PEXPIRE', failures, window_ms) end
return {count, redis.call('PTTL', failures)}
