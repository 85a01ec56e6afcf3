-- The API keys that changed, and the generation they belong to, read in one instant.
-- KEYS  1 apikeys:all  2 apikeys:generation  3 apikeys:marks  4 apikeys:changed
-- ARGV  1 a mark for a generation that has none  2 number and 3 mark of the generation that the caller has seen, or ''
-- Returns {'lost', number}, {'same'} or {'new', number, mark, {key as JSON, …}}: all keys where none was seen.
local number = redis.call('GET', KEYS[2]) or '0'
if ARGV[2] ~= '' and redis.call('HGET', KEYS[3], ARGV[2]) ~= ARGV[3] then return {'lost', number} end
if ARGV[2] == number then return {'same'} end
redis.call('HSETNX', KEYS[3], number, ARGV[1])
local keys = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '(' .. (ARGV[2] ~= '' and ARGV[2] or '0'), '+inf')) do
  table.insert(keys, redis.call('HGET', KEYS[1], id))
end
return {'new', number, redis.call('HGET', KEYS[3], number), keys}
