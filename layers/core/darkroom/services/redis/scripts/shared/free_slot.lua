-- The member of the set of slots for one attempt of a job, `<tenant>/<job id>`. Each attempt has a slot of its own, so
-- that a late run of an earlier attempt cannot free that of a later one.
local function slot_of(job, attempt)
  return job .. ':' .. attempt
end

-- Frees the slot of an attempt, if it has one, and unblocks one dispatcher that waits on the list `freed_slots`.
-- The list keeps at most 100 entries, for 60 s: a dispatcher tries to acquire a slot before it waits.
local function free_slot(slots, freed_slots, job, attempt)
  if redis.call('ZREM', slots, slot_of(job, attempt)) == 1 then
    redis.call('LPUSH', freed_slots, 1)
    redis.call('LTRIM', freed_slots, 0, 99)
    redis.call('EXPIRE', freed_slots, 60)
  end
end
