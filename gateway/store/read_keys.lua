-- The API keys that changed, and the generation they belong to, read in one instant. Loaded after generation.lua.
-- KEYS  1 apikeys:all  2 apikeys:generation  3 apikeys:marks  4 apikeys:changed
-- ARGV  1 a mark for a generation that has none  2 number and 3 mark of the generation that the caller has seen, or ''
-- Returns {'lost', number}, {'same'} or {'new', number, mark, {key as JSON, …}}: all keys where none was seen.
local now, unchanged = generation_after(KEYS[2], KEYS[3], unpack(ARGV))
if not now then return unchanged end
local keys = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '(' .. (ARGV[2] ~= '' and ARGV[2] or '0'), '+inf')) do
  table.insert(keys, redis.call('HGET', KEYS[1], id))
end
return {'new', now[1], now[2], keys}
