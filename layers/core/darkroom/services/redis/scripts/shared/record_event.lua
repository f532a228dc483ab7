-- Appends an event to a view's timeline: one line each, "<milliseconds since 1970> <event> <attempt>".
-- A timeline of more than 8,000 characters loses the oldest lines after the first, "accepted".
local function record_event(view, at_ms, event, attempt)
  local timeline = redis.call('HGET', view, 'timeline')
  local line = at_ms .. ' ' .. event .. ' ' .. attempt
  if timeline and #timeline > 8000 then
    local accepted = string.match(timeline, '^[^\n]*\n')
    timeline = accepted .. string.match(timeline, '\n(.*)$', #timeline - 4000)
  end
  redis.call('HSET', view, 'timeline', timeline and timeline .. '\n' .. line or line)
end
