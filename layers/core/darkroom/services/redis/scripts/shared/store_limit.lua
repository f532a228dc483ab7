-- Stores how many jobs of one operation a tenant may have in flight. `limit` is '' when it is unknown, and '0' when there
-- is none.
local function store_limit(key, limit, ttl_s)
  if limit == '0' then
    redis.call('DEL', key)
  elseif limit ~= '' then
    redis.call('SET', key, limit, 'EX', ttl_s)
  end
end
