-- Ids of a listing, newest first: those that a tenant sees, its own and everybody's.
-- KEYS  1 listing
-- ARGV  1 highest score  2 most ids  3 everybody's tenant, whose callers see all  4 tenant, both as JSON
local found, read = {}, 0
repeat
  local ids = redis.call('ZREVRANGEBYSCORE', KEYS[1], ARGV[1], '-inf', 'LIMIT', read, 500)
  for _, id in ipairs(ids) do
    local tenant = ARGV[3] ~= ARGV[4] and redis.call('HGET', 'request:' .. id, 'tenant') or ARGV[4]
    if tenant == ARGV[3] or tenant == ARGV[4] then table.insert(found, id) end
    if #found == tonumber(ARGV[2]) then return found end
  end
  read = read + #ids
until #ids == 0
return found
