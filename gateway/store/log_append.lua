-- Have something logged. Loaded after outbox.lua.
-- ARGV  1 token of this call  2 kind  3 id of the request that it is about, or ''  4 body as JSON
put_in_outbox(ARGV[1], ARGV[2], ARGV[3], 'body', ARGV[4])
