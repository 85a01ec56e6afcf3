-- Change fields of a request without changing its state, and tell its followers. Loaded after guard.lua.
-- KEYS  1 request  2 events  3 payload
-- ARGV  1 expected states, comma-separated  2 attempt or ''  3 now  4 event type  5 event
--       6 new payload, '' to leave it  7 new sealed scope, '' to leave it  8 id  9 mark of the next generation
--       10… field, value
-- Returns 1, or 0 when the request has moved on.
local current = redis.call('HMGET', KEYS[1], 'state', 'attempts')
if not current[1] then return 0 end
if not string.find(',' .. ARGV[1] .. ',', ',' .. current[1] .. ',', 1, true) then return 0 end
if ARGV[2] ~= '' and current[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'updated_at', ARGV[3], unpack(ARGV, 10))
if ARGV[6] ~= '' then
  redis.call('SET', KEYS[3], ARGV[6])
  redis.call('INCR', 'aof:erasures')
end
if ARGV[7] ~= '' then put_scope(ARGV[8], ARGV[7], ARGV[9]) end
if ARGV[4] == 'state' then
  add_state_event(KEYS[2], ARGV[8], ARGV[9], 'data', ARGV[5])
else
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', 'type', ARGV[4], 'data', ARGV[5])
end
return 1
