-- The requests in force and the generation they belong to, read in one instant. Loaded after guard.lua.
-- KEYS  1 requests:by_state:active  2 policy:generation  3 policy:marks
-- ARGV  1 a mark for a generation that has none  2 number and 3 mark of the generation that the caller has seen, or ''
-- Returns {'lost', number}, {'same'} or {'new', number, mark, active, guarded}.
--   active: {record as a flat list, …}, or 'same' where they are those of the generation that was seen
--   guarded: {{id, tenant, created_at, scope_digest}, …}
local number = redis.call('GET', KEYS[2]) or '0'
if ARGV[2] ~= '' and redis.call('HGET', KEYS[3], ARGV[2]) ~= ARGV[3] then return {'lost', number} end
if ARGV[2] == number then return {'same'} end
redis.call('HSETNX', KEYS[3], number, ARGV[1])
local active = 'same'
if ARGV[2] == '' or not is_calm(ARGV[2], number) then
  active = {}
  for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    table.insert(active, redis.call('HGETALL', 'request:' .. id))
  end
end
local guarded = {}
for _, id in ipairs(redis.call('SMEMBERS', GUARDED)) do
  local fields = redis.call('HMGET', 'request:' .. id, 'tenant', 'created_at', 'scope_digest')
  table.insert(guarded, {id, fields[1], fields[2], fields[3]})
end
return {'new', number, redis.call('HGET', KEYS[3], number), active, guarded}
