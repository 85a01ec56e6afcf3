-- Register a request once: record, payload, listings and first event, or the one the idempotency key names. Loaded
-- after guard.lua.
-- KEYS  1 request  2 payload  3 events  4 all  5 by_state:registered  6 seq  7 idempotency ('' when unused)
-- ARGV  1 id  2 payload  3 now  4 event  5 body's fingerprint  6 idempotency ttl in seconds
--       7 sealed scope of a request that guards from now on, or ''  8 mark of the next generation  9… field, value
-- Returns {'created'|'existing', id} or {'conflict'}.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return {'created', ARGV[1]} -- this very call, repeated after a lost reply
end
if KEYS[7] ~= '' then
  local known = redis.call('HMGET', KEYS[7], 'body', 'id')
  if known[1] then
    if known[1] ~= ARGV[5] then return {'conflict'} end
    return {'existing', known[2]}
  end
  redis.call('HSET', KEYS[7], 'body', ARGV[5], 'id', ARGV[1])
  redis.call('EXPIRE', KEYS[7], ARGV[6])
end
local seq = redis.call('INCR', KEYS[6])
redis.call('HSET', KEYS[1], 'seq', seq, 'state_since', ARGV[3], unpack(ARGV, 9))
redis.call('SET', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[4], seq, ARGV[1])
redis.call('ZADD', KEYS[5], seq, ARGV[1])
if ARGV[7] ~= '' then
  start_guard(ARGV[1])
  put_scope(ARGV[1], ARGV[7], ARGV[8])
end
add_state_event(KEYS[3], ARGV[1], ARGV[8], 'data', ARGV[4])
return {'created', ARGV[1]}
