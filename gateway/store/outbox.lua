-- What is to be logged waits here, written in the same instant as what it is about; see gateway.store.log.
local PLACED_S = 86400

-- token: of this call; one that is repeated after a lost reply is logged once.
local function put_in_outbox(token, kind, request, ...)
  if not redis.call('SET', 'log:placed:' .. token, '', 'NX', 'EX', PLACED_S) then return end
  redis.call('XADD', 'log:outbox', '*', 'token', token, 'kind', kind, 'request', request, ...)
end
