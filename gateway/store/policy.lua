-- The requests in force and the generation they belong to, read in one instant. Loaded after guard.lua.
-- KEYS  1 requests:by_state:active  2 policy:generation  3 policy:marks
-- ARGV  1 a mark for a generation that has none  2 number and 3 mark of the generation that the caller has seen, or ''
-- Returns {'lost', number}, {'same'} or {'new', number, mark, active, guarded}.
--   active: {record as a flat list, …}, or 'same' where they are those of the generation that was seen
--   guarded: {{id, tenant, created_at, scope_digest}, …}
local now, unchanged = generation_after(KEYS[2], KEYS[3], unpack(ARGV))
if not now then return unchanged end
local active = 'same'
if ARGV[2] == '' or not is_calm(ARGV[2], now[1]) then
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
return {'new', now[1], now[2], active, guarded}
