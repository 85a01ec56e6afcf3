-- End a model request of a key, and charge its tokens; the level may fall below nothing. Loaded after buckets.lua.
-- KEYS  1 buckets of the key  2 its requests that are running
-- ARGV  1 requests a minute  2 tokens a minute, each '' for no limit  3 lease  4 tokens
-- Returns 1, or 0 for a request that is not running: it was settled, or given up.
if redis.call('ZREM', KEYS[2], ARGV[3]) == 0 then return 0 end
local levels = read_buckets(KEYS[1], ARGV)
if levels[2] then levels[2] = levels[2] - ARGV[4] end
keep_buckets(KEYS[1], ARGV, levels)
return 1
