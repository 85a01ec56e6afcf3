-- Compare-and-set of a request's state, with everything that must change in the same instant. Loaded after
-- blob.lua and guard.lua.
-- KEYS  1 request  2 payload  3 events  4 its blobs  5 requests:by_state:active  6 policy:activation_seq
-- ARGV  1 id  2 to  3 expected, comma-separated  4 now  5 token of this call  6 attempt or ''
--       7 '1' to erase the payload  8 blobs to keep: all, own, none (the scope goes then too, unless the request guards)
--       9 most rows that requests which apply to every prompt may use, or ''
--       10 event  11… field, value
-- Returns {'missing'}, {'conflict', state}, {'stale', attempts}, {'full', requests, rows} or
--         {'ok', record as a flat list, erased so many keys, {digest whose blob is no longer used, …}}.
local current = redis.call('HMGET', KEYS[1], 'state', 'attempts', 'token', 'seq', 'state_since', 'timings')
local state = current[1]
if not state then return {'missing'} end
if current[3] == ARGV[5] then -- already done; the reply was lost
  return {'ok', redis.call('HGETALL', KEYS[1]), 0, {}}
end
if not string.find(',' .. ARGV[3] .. ',', ',' .. state .. ',', 1, true) then return {'conflict', state} end
if ARGV[6] ~= '' and current[2] ~= ARGV[6] then return {'stale', current[2]} end

local to = ARGV[2]
if to == 'active' and ARGV[9] ~= '' then
  local used, counted = 0, {}
  local function rows(key) -- of an adapter that is not counted yet: one that several requests share applies once
    local adapter = redis.call('HMGET', key, 'digest', 'footprint', 'scope')
    if not adapter[1] or counted[adapter[1]] then return 0 end
    if adapter[3] and cjson.decode(adapter[3]).prompts == 'matched' then return 0 end
    counted[adapter[1]] = true
    return adapter[2] and cjson.decode(adapter[2]).rows or 0
  end
  local active = redis.call('ZRANGE', KEYS[5], 0, -1)
  for _, id in ipairs(active) do used = used + rows('request:' .. id) end
  used = used + rows(KEYS[1])
  if used > tonumber(ARGV[9]) then return {'full', #active, used} end
end

local timings = cjson.decode(current[6])
local spent = state .. '_s'
timings[spent] = (timings[spent] or 0) + tonumber(ARGV[4]) - tonumber(current[5])
redis.call('HSET', KEYS[1], 'state', to, 'updated_at', ARGV[4], 'state_since', ARGV[4],
  'token', ARGV[5], 'timings', cjson.encode(timings))
if #ARGV > 10 then redis.call('HSET', KEYS[1], unpack(ARGV, 11)) end
redis.call('ZREM', 'requests:by_state:' .. state, ARGV[1])
redis.call('ZADD', 'requests:by_state:' .. to, current[4], ARGV[1])

if to == 'active' then
  redis.call('HSET', KEYS[1], 'activated_seq', redis.call('INCR', KEYS[6]))
end
local ended = (to == 'active' or to == 'retired') and end_guard(ARGV[1])
if to == 'active' or state == 'active' then
  raise_generation(ARGV[5])
elseif ended then
  raise_calmly(ARGV[5])
end

local erased = 0
if ARGV[7] == '1' then erased = redis.call('DEL', KEYS[2]) end
if ARGV[8] == 'none' and not is_guarded(ARGV[1]) then erased = erased + erase_scope(ARGV[1]) end

local unused = {}
if ARGV[8] ~= 'all' then
  local own = redis.call('HGET', KEYS[1], 'digest')
  for _, digest in ipairs(redis.call('SMEMBERS', KEYS[4])) do
    local kept = ARGV[8] == 'own' and own == '"' .. digest .. '"'
    if not kept and release_blob(digest, ARGV[1]) then table.insert(unused, digest) end
  end
end

add_state_event(KEYS[3], ARGV[1], 'previous', state, 'data', ARGV[10])
return {'ok', redis.call('HGETALL', KEYS[1]), erased, unused}
