-- Begin to watch the reports of a service that has run without; once. Loaded after watch.lua.
-- KEYS  1 watch:begun  2 requests:by_state:active  3 requests:by_state:ready
-- ARGV  1 now  2 those in force since before that were looked at by what watched before
-- Returns how many there are.
if not redis.call('SET', KEYS[1], ARGV[1], 'NX') then return 0 end
local active, ready = redis.call('ZRANGE', KEYS[2], 0, -1), redis.call('ZRANGE', KEYS[3], 0, -1)
for _, id in ipairs(active) do
  local since = redis.call('HGET', 'request:' .. id, 'state_since')
  if tonumber(since) >= tonumber(ARGV[2]) then redis.call('ZADD', ACTIVATED, since, id) end
  report_changed(id)
end
for _, id in ipairs(ready) do report_changed(id) end
return #active + #ready
