-- Advances the cursor of the reconciliation, unless Redis lost its data since the pass began.
-- Returns 1, or 0 when Redis lost it.

local cursor = KEYS[1]        -- string: a job id
local dataset_id = KEYS[2]    -- string

local job_id = ARGV[1]
local expected_id = ARGV[2]

if redis.call('GET', dataset_id) ~= expected_id then return 0 end
redis.call('SET', cursor, job_id)
return 1
