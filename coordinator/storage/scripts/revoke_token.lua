-- revoke_token(id) -> 1 | 0 (no such token)
--
-- KEYS: token_ids revoked
-- ARGV: 1 token id
--
-- Race closed: an enrolment that reads the token while it is revoked sees it before or after.

local hash = redis.call('HGET', K.token_ids, ARGV[1])
if not hash then
  return 0
end
redis.call('SADD', K.revoked, hash)
return 1
