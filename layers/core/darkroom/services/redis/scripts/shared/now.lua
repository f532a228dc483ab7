-- now_ms, now_us: the time on Redis' clock, in milliseconds and microseconds since 1970. All callers share it, so their own clocks may disagree.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local now_us = time[1] * 1000000 + time[2]
