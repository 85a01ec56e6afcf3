-- Let a blob go; it is deleted with the last request that needs it.
-- KEYS  1 the blob's users
-- ARGV  1 id of the request  2 prefix of the blob's keys
-- Returns 1 when it was deleted.
redis.call('SREM', KEYS[1], ARGV[1])
if redis.call('SCARD', KEYS[1]) > 0 then return 0 end
for i = 0, (tonumber(redis.call('HGET', ARGV[2] .. 'meta', 'chunks')) or 0) - 1 do
  redis.call('DEL', ARGV[2] .. i)
end
redis.call('DEL', ARGV[2] .. 'meta')
return 1
