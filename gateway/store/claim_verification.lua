-- Claim the request whose turn it is to be evaluated again, for one worker. Those whose worker died wait again, a few
-- times.
-- KEYS  1 verifications:waiting  2 verifications:running  3 verifications:tries
-- ARGV  1 now  2 end of the lease  3 most tries
-- Returns its id, or nil.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1])) do
  redis.call('ZREM', KEYS[2], id)
  if redis.call('HINCRBY', KEYS[3], id, 1) < tonumber(ARGV[3]) then
    redis.call('ZADD', KEYS[1], 'NX', ARGV[1], id)
  else
    redis.call('HDEL', KEYS[3], id)
  end
end
local first = redis.call('ZPOPMIN', KEYS[1])
if not first[1] then return nil end
redis.call('ZADD', KEYS[2], ARGV[2], first[1])
return first[1]
