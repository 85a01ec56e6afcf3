-- Let a blob go; it is deleted with the last request that needs it. Loaded after blob.lua.
-- KEYS  1 the blob's users
-- ARGV  1 id of the request  2 digest
-- Returns 1 when it was deleted.
if not release_blob(ARGV[2], ARGV[1]) then return 0 end
redis.call('INCR', 'aof:erasures')
return 1
