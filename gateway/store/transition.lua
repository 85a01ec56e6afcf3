-- Compare-and-set of a request's state, with everything that must change in the same instant. Loaded after
-- blob.lua, guard.lua, notes.lua and watch.lua.
-- KEYS  1 request  2 payload  3 events  4 its blobs  5 requests:by_state:active  6 policy:activation_seq
-- ARGV  1 id  2 to  3 expected, comma-separated  4 now  5 token of this call  6 attempt or ''
--       7 '1' to erase the payload and what an evaluation left  8 blobs to keep: all, own, none (kept probes go then
--       too, and the scope unless the request guards)
--       9 most rows that requests which apply to every prompt of a tenant may use, or ''
--       10 everybody's tenant as JSON  11 event  12 notes for who becomes active, as JSON  13… field, value
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
  local rows, of = {}, {} -- by digest, and digests by tenant: an adapter that several requests share applies once
  local function add(key)
    local adapter = redis.call('HMGET', key, 'digest', 'footprint', 'scope', 'tenant')
    if not adapter[1] or (adapter[3] and cjson.decode(adapter[3]).prompts == 'matched') then return nil end
    rows[adapter[1]] = adapter[2] and cjson.decode(adapter[2]).rows or 0
    of[adapter[4]] = of[adapter[4]] or {}
    table.insert(of[adapter[4]], adapter[1])
    return adapter[4]
  end
  local function check(tenant) -- what applies to its prompts: its own and everybody's
    local used, requests, counted = 0, 0, {}
    for _, digests in ipairs({of[ARGV[10]] or {}, tenant ~= ARGV[10] and of[tenant] or {}}) do
      for _, digest in ipairs(digests) do
        requests = requests + 1
        if not counted[digest] then used = used + rows[digest] end
        counted[digest] = true
      end
    end
    return used > tonumber(ARGV[9]) and {'full', requests - 1, used} or nil
  end
  for _, id in ipairs(redis.call('ZRANGE', KEYS[5], 0, -1)) do add('request:' .. id) end
  local own = add(KEYS[1])
  local full = own and check(own)
  if own == ARGV[10] then -- it has to fit beside what every tenant has
    for tenant in pairs(of) do full = full or check(tenant) end
  end
  if full then return full end
end

local timings = cjson.decode(current[6])
local spent = state .. '_s'
timings[spent] = (timings[spent] or 0) + tonumber(ARGV[4]) - tonumber(current[5])
redis.call('HSET', KEYS[1], 'state', to, 'updated_at', ARGV[4], 'state_since', ARGV[4],
  'token', ARGV[5], 'timings', cjson.encode(timings))
if #ARGV > 12 then redis.call('HSET', KEYS[1], unpack(ARGV, 13)) end
redis.call('ZREM', 'requests:by_state:' .. state, ARGV[1])
redis.call('ZADD', 'requests:by_state:' .. to, current[4], ARGV[1])

if to == 'active' then
  redis.call('HSET', KEYS[1], 'activated_seq', redis.call('INCR', KEYS[6]))
  put_notes(ARGV[1], cjson.decode(ARGV[12]))
  came_into_force(ARGV[1], ARGV[4])
elseif state == 'active' then
  erase_notes(ARGV[1])
elseif to == 'ready' then
  report_changed(ARGV[1])
end
if to == 'retired' then end_watch(ARGV[1]) end
local ended = (to == 'active' or to == 'retired') and end_guard(ARGV[1])
if to == 'active' or state == 'active' then
  raise_generation(ARGV[5])
elseif ended then
  raise_calmly(ARGV[5])
end

local erased = 0
if ARGV[7] == '1' then erased = redis.call('DEL', KEYS[2], 'probes:' .. ARGV[1], 'results:' .. ARGV[1]) end
if ARGV[8] == 'none' then
  erased = erased + redis.call('DEL', 'kept_probes:' .. ARGV[1], 'probe_key:' .. ARGV[1])
end
if ARGV[8] == 'none' and not is_guarded(ARGV[1]) then erased = erased + erase_scope(ARGV[1]) end

local unused = {}
if ARGV[8] ~= 'all' then
  local own = redis.call('HGET', KEYS[1], 'digest')
  for _, digest in ipairs(redis.call('SMEMBERS', KEYS[4])) do
    local kept = ARGV[8] == 'own' and own == '"' .. digest .. '"'
    if not kept and release_blob(digest, ARGV[1]) then table.insert(unused, digest) end
  end
end

if erased > 0 or #unused > 0 or to == 'retired' then redis.call('INCR', 'aof:erasures') end

add_state_event(KEYS[3], ARGV[1], ARGV[5], 'previous', state, 'data', ARGV[11])
return {'ok', redis.call('HGETALL', KEYS[1]), erased, unused}
