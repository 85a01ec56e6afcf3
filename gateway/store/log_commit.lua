-- Make leaves of what waits in the outbox, with all that goes with them, or nothing where another sequencer was first.
-- Loaded after outbox.lua.
-- KEYS  1 log:size  2 log:outbox  3 log:keys
-- ARGV  1 size that the leaves go on from  2 the log's keys from now on, or ''  3 number of tiles and bundles
--       4… their key and what to append to it, then of each leaf: outbox id, token, request or '', opening
-- Returns 1, or 0 where the log has another size.
local size = tonumber(redis.call('GET', KEYS[1]) or '0')
if size ~= tonumber(ARGV[1]) then return 0 end
local at = 4
for _ = 1, tonumber(ARGV[3]) do
  redis.call('APPEND', ARGV[at], ARGV[at + 1])
  at = at + 2
end
while at < #ARGV do
  redis.call('XDEL', KEYS[2], ARGV[at])
  redis.call('SET', 'log:placed:' .. ARGV[at + 1], size, 'EX', PLACED_S)
  redis.call('SET', 'log:opening:' .. size, ARGV[at + 3])
  if ARGV[at + 2] ~= '' then redis.call('SADD', 'log:openings:' .. ARGV[at + 2], size) end
  size = size + 1
  at = at + 4
end
redis.call('SET', KEYS[1], size)
if ARGV[2] ~= '' then redis.call('SET', KEYS[3], ARGV[2]) end
return 1
