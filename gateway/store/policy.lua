-- The active requests and the generation they belong to, read in one instant.
-- KEYS  1 requests:by_state:active  2 policy:generation  3 policy:marks
-- ARGV  1 a mark for a generation that has none  2 number and 3 mark of the generation that the caller has seen, or ''
-- Returns {'lost', number}, {'same'} or {'new', number, mark, {record as a flat list, …}}.
local number = redis.call('GET', KEYS[2]) or '0'
if ARGV[2] ~= '' and redis.call('HGET', KEYS[3], ARGV[2]) ~= ARGV[3] then return {'lost', number} end
if ARGV[2] == number then return {'same'} end
redis.call('HSETNX', KEYS[3], number, ARGV[1])
local records = {}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  table.insert(records, redis.call('HGETALL', 'request:' .. id))
end
return {'new', number, redis.call('HGET', KEYS[3], number), records}
