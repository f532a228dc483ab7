#!lua flags=allow-oom
-- Moves the cursor of sweep from where the caller read it, unless another pass moved it, or Redis lost its data.
-- Returns 1, or 0 when it did not move.

local cursor = KEYS[1]        -- string: "<cycle> <position>"
local dataset_id = KEYS[2]    -- string

local expected = ARGV[1]      -- '' at the beginning
local following = ARGV[2]
local expected_id = ARGV[3]

if redis.call('GET', dataset_id) ~= expected_id then return 0 end
if (redis.call('GET', cursor) or '') ~= expected then return 0 end
redis.call('SET', cursor, following)
return 1
