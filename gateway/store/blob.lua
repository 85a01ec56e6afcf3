-- Let the blob of this digest go for one of its users; true when that was the last, and it is deleted.
local function release_blob(digest, user)
  local blob = 'blob:{' .. digest .. '}:'
  redis.call('SREM', 'blobs:' .. user, digest)
  redis.call('SREM', blob .. 'users', user)
  if redis.call('SCARD', blob .. 'users') > 0 then return false end
  for i = 0, (tonumber(redis.call('HGET', blob .. 'meta', 'chunks')) or 0) - 1 do
    redis.call('DEL', blob .. i)
  end
  redis.call('DEL', blob .. 'meta')
  return true
end
