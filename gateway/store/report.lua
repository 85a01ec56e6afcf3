-- Add a report to those of a request, once.
-- KEYS  1 reports  ARGV  1 the report's bytes
if not redis.call('LPOS', KEYS[1], ARGV[1]) then redis.call('RPUSH', KEYS[1], ARGV[1]) end
return 1
