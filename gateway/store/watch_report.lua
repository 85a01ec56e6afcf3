-- Watch a request's report. Loaded after watch.lua.
-- ARGV  1 id  2 digest of the report  3 when it was made  4 when it ends  5 its manifest, as JSON with that digest, or ''
--       6 stamp of what it is held against
-- Returns 1, or 0 where the request has another report by now, or is neither ready nor active.
local note = follow_note(ARGV[1])
if not note or note.digest ~= ARGV[2] then return 0 end
redis.call('ZADD', OPEN, ARGV[3], ARGV[1])
redis.call('ZADD', AGAIN, ARGV[3], ARGV[1])
redis.call('ZADD', ENDS, ARGV[4], ARGV[1])
if ARGV[5] ~= '' then redis.call('HSET', MANIFESTS, ARGV[1], ARGV[5]) else redis.call('HDEL', MANIFESTS, ARGV[1]) end
follow_note(ARGV[1])
-- Another has been held against all but this one: it goes on to count for those alone that are held against this too.
local before = redis.call('GET', 'watch:reports') or '0'
local number = redis.call('INCR', 'watch:reports')
if redis.call('HGET', 'watch:against', ARGV[6]) == before then redis.call('HSET', 'watch:against', ARGV[6], number) end
return 1
