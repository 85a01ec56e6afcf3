-- Keep an API key: a new one, or the next version of the one that is kept. Loaded after generation.lua.
-- KEYS  1 apikeys:all  2 apikeys:generation  3 apikeys:marks  4 apikeys:changed
-- ARGV  1 id  2 key as JSON  3 its version  4 most keys there may be  5 a mark for the new generation
-- Returns ok, conflict, or full.
local current = redis.call('HGET', KEYS[1], ARGV[1])
if current == ARGV[2] then return 'ok' end -- this very call, repeated after a lost reply
if (current and cjson.decode(current).version or 0) ~= tonumber(ARGV[3]) - 1 then return 'conflict' end
if not current and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then
  local month_ago = tonumber(redis.call('TIME')[1]) - 30 * 24 * 3600
  for _, text in ipairs(redis.call('HVALS', KEYS[1])) do
    local key = cjson.decode(text)
    local ended = type(key.revoked_at) == 'number' and key.revoked_at or key.expires_at
    if type(ended) == 'number' and ended < month_ago then
      redis.call('HDEL', KEYS[1], key.id)
      redis.call('ZREM', KEYS[4], key.id)
    end
  end
  if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return 'full' end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[4], next_generation(KEYS[2], KEYS[3], ARGV[5]), ARGV[1])
return 'ok'
