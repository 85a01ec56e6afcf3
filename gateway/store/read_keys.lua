-- All API keys and the generation they belong to, read in one instant.
-- KEYS  1 apikeys:all  2 apikeys:generation  3 apikeys:marks
-- ARGV  1 a mark for a generation that has none  2 number and 3 mark of the generation that the caller has seen, or ''
-- Returns {'lost', number}, {'same'} or {'new', number, mark, {key as JSON, …}}.
local number = redis.call('GET', KEYS[2]) or '0'
if ARGV[2] ~= '' and redis.call('HGET', KEYS[3], ARGV[2]) ~= ARGV[3] then return {'lost', number} end
if ARGV[2] == number then return {'same'} end
redis.call('HSETNX', KEYS[3], number, ARGV[1])
return {'new', number, redis.call('HGET', KEYS[3], number), redis.call('HVALS', KEYS[1])}
