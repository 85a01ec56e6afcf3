-- Requests of a listing by time that apply to some callers of a tenant's: its own and everybody's, or all for those.
-- KEYS  1 listing
-- ARGV  1 lowest and 2 highest score  3 everybody's tenant  4 tenant, both as JSON
-- Returns {ids of those that apply to every prompt}, {ids of the matched ones}.
local always, matched = {}, {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[2])) do
  local found = redis.call('HMGET', 'request:' .. id, 'tenant', 'scope')
  if ARGV[3] == ARGV[4] or found[1] == ARGV[3] or found[1] == ARGV[4] then
    local prompts = found[2] and cjson.decode(found[2]).prompts
    table.insert(prompts == 'matched' and matched or always, id)
  end
end
return {always, matched}
