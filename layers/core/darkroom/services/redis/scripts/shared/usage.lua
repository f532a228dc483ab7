-- What a tenant uses: a hash with the totals `jobs:<month>`, `video_ms:<month>` and `bytes:<day>`, in UTC, and of each
-- the part of every 15 minutes lately, as `jobs@<slot>`. `open@<slot>` is how many jobs are open that were made in it,
-- `oldest@<slot>` when the oldest job was made that ended in it, and `forms@<slot>` what is reserved for forms that expire
-- in it. `since_ms` is when Redis began to count, `changes` grows with every change. `recounted_from_ms` is there once
-- sweep has added what was before; see functions/sweep/recounting.py.
local SLOT_MS = 900000
local USAGE_TTL_S = 3456000

-- The date in UTC, as 2026-11-30, of a time in milliseconds since 1970. Years begin in March, so that leap days are last.
local function date_of(ms)
  local days = math.floor(ms / 86400000) + 719468
  local era = math.floor(days / 146097)
  local day_of_era = days - era * 146097
  local year = math.floor((day_of_era - math.floor(day_of_era / 1460) + math.floor(day_of_era / 36524)
    - math.floor(day_of_era / 146096)) / 365)
  local day = day_of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * day + 2) / 153)
  local is_next_year = month >= 10
  return string.format('%04d-%02d-%02d', era * 400 + year + (is_next_year and 1 or 0),
    is_next_year and month - 9 or month + 3, day - math.floor((153 * month + 2) / 5) + 1)
end

-- Begins to count for a tenant that has no usage, and lets sweep save it.
local function touch_usage(usage, changed, tenant)
  redis.call('HSETNX', usage, 'since_ms', now_ms)
  redis.call('HINCRBY', usage, 'changes', 1)
  redis.call('EXPIRE', usage, USAGE_TTL_S)
  redis.call('SADD', changed, tenant)
end

-- Adds to a measure: 'jobs', 'video_ms' or 'bytes'. The usage was touched.
local function add_usage(usage, measure, at_ms, amount)
  if amount == 0 then return end
  local date = date_of(at_ms)
  local period = measure == 'bytes' and date or string.sub(date, 1, 7)
  redis.call('HINCRBY', usage, measure .. ':' .. period, amount)
  redis.call('HINCRBY', usage, measure .. '@' .. math.floor(at_ms / SLOT_MS), amount)
end

-- When an id was made, in milliseconds since 1970: its first 48 bits.
local function created_ms_of(id)
  return tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16)
end

-- Counts a job of a certain time as open, or with -1 as ended.
local function count_open(usage, created_ms, change)
  local field = 'open@' .. math.floor(created_ms / SLOT_MS)
  local is_counted = change > 0 or redis.call('HEXISTS', usage, field) == 1
  if is_counted and redis.call('HINCRBY', usage, field, change) <= 0 then redis.call('HDEL', usage, field) end
end

-- Counts what a job produced. The usage was touched.
local function count_outputs(usage, created_ms, finished_ms, video_ms, output_bytes)
  add_usage(usage, 'video_ms', finished_ms, video_ms)
  add_usage(usage, 'bytes', finished_ms, output_bytes)
  local field = 'oldest@' .. math.floor(finished_ms / SLOT_MS)
  local oldest_ms = tonumber(redis.call('HGET', usage, field) or math.huge)
  redis.call('HSET', usage, field, math.min(oldest_ms, created_ms))
end

-- Counts a job, unless the list of the tenant's latest jobs has it already. The usage was touched.
local function count_job(usage, jobs, job_id)
  if redis.call('ZADD', jobs, 0, job_id) == 1 then
    add_usage(usage, 'jobs', created_ms_of(job_id), 1)
  end
end
