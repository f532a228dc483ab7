-- now_ms: the time on Redis' clock, in milliseconds since 1970. All callers share it, so their own clocks may disagree.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
