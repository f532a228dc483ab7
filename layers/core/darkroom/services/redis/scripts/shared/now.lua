-- The time on Redis' clock since 1970: now_ms in milliseconds, now_us in microseconds. All callers share it, so their own
-- clocks may disagree.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now_us = time[1] * 1000000 + time[2]
