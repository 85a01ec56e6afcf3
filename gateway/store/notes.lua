-- What two active requests do to each other where both apply: a note in either's record, for as long as both are active.

local NOTE, MOST_NOTES = 'beside:', 32

-- Notes for who becomes active, about those that are. Of many about one request, its own record has those that tell of
-- a loss, and the first others.
--   notes: {{other, own, theirs, lost, event}, …}: the notes for either record, whether they tell of a loss, and an event
--     for the other's followers, or ''
local function put_notes(id, notes)
  for _, note in ipairs(notes) do
    local record, about = 'request:' .. note.other, NOTE .. note.other
    if redis.call('HGET', record, 'state') == 'active' then
      redis.call('SADD', NOTE .. id, note.other)
      redis.call('SADD', about, id)
      redis.call('HSET', 'request:' .. id, about, note.own)
      if note.lost or redis.call('SCARD', about) <= MOST_NOTES then
        redis.call('HSET', record, NOTE .. id, note.theirs)
      end
      if note.event ~= '' then
        redis.call('XADD', 'events:' .. note.other, 'MAXLEN', '~', 1000, '*', 'type', 'state', 'data', note.event)
      end
    end
  end
end

-- Take all notes about a request, and its own, out of the records.
local function erase_notes(id)
  for _, other in ipairs(redis.call('SMEMBERS', NOTE .. id)) do
    redis.call('HDEL', 'request:' .. id, NOTE .. other)
    redis.call('HDEL', 'request:' .. other, NOTE .. id)
    redis.call('SREM', NOTE .. other, id)
  end
  redis.call('DEL', NOTE .. id)
end
