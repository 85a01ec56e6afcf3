-- Reports that are watched, and what has happened that they are to be held against; see gateway.store.watched.

local CHANGES, ACTIVATED, STALE, MANIFESTS = 'watch:changes', 'watch:activated', 'watch:stale', 'watch:manifests'
local OPEN, ENDS, AGAIN = 'watch:open', 'watch:ends', 'watch:again'

-- Have the report of a request looked at.
local function report_changed(id)
  redis.call('XADD', CHANGES, '*', 'request', id)
end

-- Say that a request is in force from now on: what it may meet is to be found.
local function came_into_force(id, at)
  redis.call('ZADD', ACTIVATED, 'GT', at, id)
  redis.call('XADD', CHANGES, '*', 'request', id, 'activated_at', at)
end

local function end_watch(id)
  for _, listing in ipairs({OPEN, ENDS, AGAIN}) do redis.call('ZREM', listing, id) end
  redis.call('SREM', STALE, id)
  redis.call('HDEL', MANIFESTS, id)
end

-- Watch for no more than can still make the request's report stale. Returns its note; nil where none is to be watched.
local function follow_note(id)
  local found = redis.call('HMGET', 'request:' .. id, 'state', 'report')
  local note = (found[1] == 'ready' or found[1] == 'active') and found[2] and cjson.decode(found[2])
  if not note or note == cjson.null then
    end_watch(id)
    return nil
  end
  for _, name in ipairs(note.stale) do
    if name == 'interference' then redis.call('ZREM', OPEN, id) end
    if name == 'valid_until' then redis.call('ZREM', ENDS, id) end
  end
  redis.call(#note.stale > 0 and 'SADD' or 'SREM', STALE, id)
  return note
end
