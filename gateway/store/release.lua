-- Let a blob go; it is deleted with the last request that needs it. Loaded after blob.lua.
-- KEYS  1 the blob's users
-- ARGV  1 id of the request  2 digest
-- Returns 1 when it was deleted.
return release_blob(ARGV[2], ARGV[1]) and 1 or 0
