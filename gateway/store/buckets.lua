-- Two buckets of a key, of requests and of tokens, that fill by so much a minute; what is absent is full.
-- Each has a limit a minute, or '' for none. All replicas go by Redis's clock.
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6

-- Levels now: {requests or nil, tokens or nil}.
local function read_buckets(key, limits)
  local kept = redis.call('HMGET', key, 'requests', 'tokens', 'at')
  local levels = {}
  for i = 1, 2 do
    local most = tonumber(limits[i])
    if most then
      levels[i] = kept[i] and math.min(most, kept[i] + (now - kept[3]) * most / 60) or most
    end
  end
  return levels
end

-- Kept until both are full again.
local function keep_buckets(key, limits, levels)
  local seconds = 1
  for i, name in ipairs({'requests', 'tokens'}) do
    if levels[i] then
      redis.call('HSET', key, name, string.format('%.6f', levels[i]))
      seconds = math.max(seconds, math.ceil((limits[i] - levels[i]) * 60 / limits[i]))
    end
  end
  redis.call('HSET', key, 'at', string.format('%.6f', now))
  redis.call('EXPIRE', key, seconds)
end
