-- Put another note of its report on a request, and tell its followers and the operator's webhook, all in one instant.
-- Loaded after watch.lua.
-- KEYS  1 request  2 events  3 webhooks
-- ARGV  1 the note as it was read, JSON  2 the note that takes its place  3 state event  4 its previous state, or ''
--       5 message to the webhook, '' for none  6 most messages that wait  7 id
-- Returns 1, or 0 when the note is not that one any more.
if redis.call('HGET', KEYS[1], 'report') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'report', ARGV[2])
follow_note(ARGV[7])
if cjson.decode(ARGV[1]).digest ~= cjson.decode(ARGV[2]).digest then report_changed(ARGV[7]) end
-- Of the type of a state: a follower ends at one, so nothing else may come last.
local event = {'type', 'state', 'data', ARGV[3]}
if ARGV[4] ~= '' then
  table.insert(event, 'previous')
  table.insert(event, ARGV[4])
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 1000, '*', unpack(event))
if ARGV[5] ~= '' then redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], '*', 'body', ARGV[5]) end
return 1
