-- Compare-and-set of a request's state, with everything that must change in the same instant. Loaded after blob.lua.
-- KEYS  1 request  2 payload  3 events  4 policy:generation  5 policy:activation_seq
-- ARGV  1 id  2 to  3 expected, comma-separated  4 now  5 token of this call  6 attempt or ''
--       7 '1' to erase the payload  8 event  9… field, value
-- Returns {'missing'}, {'conflict', state}, {'stale', attempts} or
--         {'ok', record as a flat list, erased 0|1, {digest whose blob is no longer used, …}}.
local current = redis.call('HMGET', KEYS[1], 'state', 'attempts', 'token', 'seq', 'state_since', 'timings', 'digest',
  'selection')
local state = current[1]
if not state then return {'missing'} end
if current[3] == ARGV[5] then -- already done; the reply was lost
  return {'ok', redis.call('HGETALL', KEYS[1]), 0, {}}
end
if not string.find(',' .. ARGV[3] .. ',', ',' .. state .. ',', 1, true) then return {'conflict', state} end
if ARGV[6] ~= '' and current[2] ~= ARGV[6] then return {'stale', current[2]} end

local to = ARGV[2]
local timings = cjson.decode(current[6])
local spent = state .. '_s'
timings[spent] = (timings[spent] or 0) + tonumber(ARGV[4]) - tonumber(current[5])
redis.call('HSET', KEYS[1], 'state', to, 'updated_at', ARGV[4], 'state_since', ARGV[4],
  'token', ARGV[5], 'timings', cjson.encode(timings))
if #ARGV > 8 then redis.call('HSET', KEYS[1], unpack(ARGV, 9)) end
redis.call('ZREM', 'requests:by_state:' .. state, ARGV[1])
redis.call('ZADD', 'requests:by_state:' .. to, current[4], ARGV[1])

if to == 'active' then
  redis.call('HSET', KEYS[1], 'activated_seq', redis.call('INCR', KEYS[5]))
end
if to == 'active' or state == 'active' then redis.call('INCR', KEYS[4]) end

local erased = 0
if ARGV[7] == '1' then erased = redis.call('DEL', KEYS[2]) end

local unused = {}
local function let_go(digest)
  if type(digest) == 'string' and release_blob(digest, ARGV[1]) then table.insert(unused, digest) end
end
if to == 'retired' then
  let_go(current[7] and cjson.decode(current[7]))
  local selection = current[8] and cjson.decode(current[8])
  local trials = type(selection) == 'table' and selection.trials or {}
  for _, trial in ipairs(trials) do let_go(trial.digest) end -- those not kept: their worker may have been killed
end

redis.call('XADD', KEYS[3], 'MAXLEN', '~', 1000, '*', 'type', 'state', 'previous', state, 'data', ARGV[8])
return {'ok', redis.call('HGETALL', KEYS[1]), erased, unused}
