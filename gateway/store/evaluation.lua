-- Keep something of an evaluation while an attempt works on its request.
-- KEYS  1 request
-- ARGV  1 expected states, comma-separated  2 attempt  3 command, such as SET  4 key  5… its arguments
-- Returns 1, or 0 when the request has moved on.
local current = redis.call('HMGET', KEYS[1], 'state', 'attempts')
if not current[1] or current[2] ~= ARGV[2] then return 0 end
if not string.find(',' .. ARGV[1] .. ',', ',' .. current[1] .. ',', 1, true) then return 0 end
redis.call(unpack(ARGV, 3))
return 1
