-- Let a model request of a key begin where all its limits allow it; else take nothing. Loaded after buckets.lua.
-- KEYS  1 buckets of the key  2 its requests that are running, by when each is given up
-- ARGV  1 requests a minute  2 tokens a minute  3 requests at once, each '' for no limit
--       4 lease: names this request  5 seconds after which it is given up unless it is renewed
-- Returns {'' or the limit that is reached: requests, tokens, concurrent, level of requests, level of tokens}.
local levels = read_buckets(KEYS[1], ARGV)
local function reply(reached)
  return {reached, tostring(levels[1] or ''), tostring(levels[2] or '')}
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if redis.call('ZSCORE', KEYS[2], ARGV[4]) then return reply('') end -- this very call, repeated after a lost reply
if ARGV[3] ~= '' and redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) then return reply('concurrent') end
if levels[1] and levels[1] < 1 then return reply('requests') end
if levels[2] and levels[2] < 1 then return reply('tokens') end
if levels[1] then levels[1] = levels[1] - 1 end
keep_buckets(KEYS[1], ARGV, levels)
redis.call('ZADD', KEYS[2], now + ARGV[5], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[5])
return reply('')
