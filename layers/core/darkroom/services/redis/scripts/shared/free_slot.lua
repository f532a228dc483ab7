-- The member of the set of slots for one attempt of a job, `<tenant>/<job id>`. Each attempt has a slot of its own, so
-- that a late run of an earlier attempt cannot free that of a later one.
local function slot_of(job, attempt)
  return job .. ':' .. attempt
end

-- Frees the slot of an attempt, if it has one, and unblocks one dispatcher. Includes `wake`.
local function free_slot(slots, freed_slots, permits, job, attempt)
  redis.call('HDEL', permits, slot_of(job, attempt))
  if redis.call('ZREM', slots, slot_of(job, attempt)) == 1 then wake_dispatcher(freed_slots) end
end
