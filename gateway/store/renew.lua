-- Say of running requests that they are not to be given up yet. Loaded after buckets.lua.
-- KEYS  for each, the running requests of its key
-- ARGV  1 seconds after which they are given up  2… lease of each
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, 'XX', now + ARGV[1], ARGV[i + 1])
  redis.call('EXPIRE', key, ARGV[1])
end
