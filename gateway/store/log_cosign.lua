-- Keep witnesses' signature lines of a checkpoint, unless a larger one is cosigned already.
-- KEYS  1 log:cosigned
-- ARGV  1 size  2 checkpoint with the log's own lines  3… witness's key, its line
-- Returns 1, or 0 for a checkpoint that is smaller than the one there is.
local size = tonumber(redis.call('HGET', KEYS[1], 'size') or '-1')
if size > tonumber(ARGV[1]) then return 0 end
if size < tonumber(ARGV[1]) then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'size', ARGV[1], 'note', ARGV[2], unpack(ARGV, 3))
return 1
