-- Appends an event to a view's timeline: one line each, "<milliseconds since 1970> <event> <attempt>".
local function record_event(view, at_ms, event, attempt)
  local timeline = redis.call('HGET', view, 'timeline')
  local line = at_ms .. ' ' .. event .. ' ' .. attempt
  redis.call('HSET', view, 'timeline', timeline and timeline .. '\n' .. line or line)
end
