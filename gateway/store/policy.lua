-- The active requests and the generation they belong to, read in one instant.
-- KEYS  1 requests:by_state:active  2 policy:generation
-- Returns {generation, {record as a flat list, …}}.
local records = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  table.insert(records, redis.call('HGETALL', 'request:' .. id))
end
return {tonumber(redis.call('GET', KEYS[2]) or '0'), records}
