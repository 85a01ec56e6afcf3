-- Publish a signed checkpoint, unless one of as large a tree is published already.
-- KEYS  1 log:checkpoint
-- ARGV  1 size  2 signed note  3 when it was signed
-- Returns 1, or 0 where another was first.
if tonumber(redis.call('HGET', KEYS[1], 'size') or '-1') >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'size', ARGV[1], 'note', ARGV[2], 'at', ARGV[3])
return 1
