-- Watch these requests for no more than can still make their reports stale. Loaded after watch.lua.
-- ARGV  ids
for _, id in ipairs(ARGV) do follow_note(id) end
