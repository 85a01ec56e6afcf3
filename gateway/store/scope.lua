-- Keep what says which prompts a request applies to, while an attempt works on it. Loaded after guard.lua.
-- KEYS  1 request
-- ARGV  1 expected states, comma-separated  2 attempt  3 sealed scope  4 id  5 mark of the next generation
-- Returns 1, or 0 when the request has moved on.
local current = redis.call('HMGET', KEYS[1], 'state', 'attempts')
if not current[1] or current[2] ~= ARGV[2] then return 0 end
if not string.find(',' .. ARGV[1] .. ',', ',' .. current[1] .. ',', 1, true) then return 0 end
put_scope(ARGV[4], ARGV[3], ARGV[5])
return 1
