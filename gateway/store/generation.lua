-- Generations of a set that replicas hold in memory: a number that grows with each change of it, and a random mark for
-- each; see gateway.store.generation.

-- The next generation; its number.
local function next_generation(counter, marks, mark)
  local number = redis.call('INCR', counter)
  redis.call('HSET', marks, number, mark)
  return number
end

-- The generation now, as {number, mark}, for a caller that has seen generation `seen` of mark `seen_mark`, or ''. Or nil
-- and the whole reply, where it is that one: {'same'}, or where it never was here: {'lost', number}.
-- mark: for a generation that has none.
local function generation_after(counter, marks, mark, seen, seen_mark)
  local number = redis.call('GET', counter) or '0'
  if seen ~= '' and redis.call('HGET', marks, seen) ~= seen_mark then return nil, {'lost', number} end
  if seen == number then return nil, {'same'} end
  redis.call('HSETNX', marks, number, mark)
  return {number, redis.call('HGET', marks, number)}
end
