-- The set of requests in force, which every replica holds: those that are active, and those that guard until they are.
-- Loaded after generation.lua and outbox.lua.

local GUARDED = 'requests:guarded'
local CALM = 'policy:calm'

-- The next generation of the set; its number.
local function raise_generation(mark)
  return next_generation('policy:generation', 'policy:marks', mark)
end

-- The same where the active requests stay as they are: those of `from` to `to` have the same ones.
local function raise_calmly(mark)
  local number = raise_generation(mark)
  if tonumber(redis.call('HGET', CALM, 'to')) ~= number - 1 then redis.call('HSET', CALM, 'from', number - 1) end
  redis.call('HSET', CALM, 'to', number)
end

-- Whether the active requests are the same now, at generation `number`, as they were at `seen`.
local function is_calm(seen, number)
  local calm = redis.call('HMGET', CALM, 'from', 'to')
  return calm[2] == number and tonumber(seen) >= tonumber(calm[1])
end

local function is_guarded(id)
  return redis.call('SISMEMBER', GUARDED, id) == 1
end

local function start_guard(id)
  redis.call('SADD', GUARDED, id)
  redis.call('HSET', 'request:' .. id, 'guarded', 'true')
end

-- True when it was in force. It never comes back.
local function end_guard(id)
  if redis.call('SREM', GUARDED, id) == 0 then return false end
  redis.call('HSET', 'request:' .. id, 'guarded', 'false')
  return true
end

-- Keep what says which prompts a request is about, and tell who holds an earlier one.
local function put_scope(id, sealed, mark)
  redis.call('SET', 'scope:' .. id, sealed)
  redis.call('HSET', 'request:' .. id, 'scope_digest', cjson.encode(redis.sha1hex(sealed)))
  if is_guarded(id) then raise_calmly(mark) end
end

-- Number of keys that were erased.
local function erase_scope(id)
  redis.call('HDEL', 'request:' .. id, 'scope_digest')
  return redis.call('DEL', 'scope:' .. id)
end

-- A state event, which says so while the request guards; the log gets it too. token: of this call.
local function add_state_event(events, id, token, ...)
  local fields = {...}
  if is_guarded(id) then
    table.insert(fields, 'guarded')
    table.insert(fields, '1')
  end
  redis.call('XADD', events, 'MAXLEN', '~', 1000, '*', 'type', 'state', unpack(fields))
  local made = redis.call('HMGET', 'request:' .. id, 'commitment', 'digest')
  put_in_outbox(token, 'state', id, 'commitment', made[1] or 'null', 'digest', made[2] or 'null', unpack(fields))
end
