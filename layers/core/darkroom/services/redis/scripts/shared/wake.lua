-- Unblocks one dispatcher that waits on the list `freed_slots`. The list keeps at most 100 entries, for 60 s: a
-- dispatcher tries to acquire a slot before it waits.
local function wake_dispatcher(freed_slots)
  redis.call('LPUSH', freed_slots, 1)
  redis.call('LTRIM', freed_slots, 0, 99)
  redis.call('EXPIRE', freed_slots, 60)
end
