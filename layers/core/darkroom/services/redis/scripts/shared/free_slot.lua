-- Frees the slot of a job, if it has one, and unblocks one dispatcher that waits on the list `freed_slots`.
-- The list keeps at most 100 entries, for 60 s: a dispatcher tries to acquire a slot before it waits.
local function free_slot(slots, freed_slots, job_id)
  if redis.call('ZREM', slots, job_id) == 1 then
    redis.call('LPUSH', freed_slots, 1)
    redis.call('LTRIM', freed_slots, 0, 99)
    redis.call('EXPIRE', freed_slots, 60)
  end
end
