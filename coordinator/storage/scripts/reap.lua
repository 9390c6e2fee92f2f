-- reap(limit) -> {claim as JSON, expires_ms} per claim that was ended
--
-- USES: clock states claims
-- KEYS: meta claims expiry live held states stream
-- ARGV: 1 how many at most
--
-- Race closed: a renewal that arrives while the claim is being ended.

begin()
local replies = {}
local expired = redis.call('ZRANGEBYSCORE', K.expiry, '-inf', whole(now), 'WITHSCORES', 'LIMIT', 0, ARGV[1])
for i = 1, #expired, 2 do
  local id = expired[i]
  replies[#replies + 1] = {redis.call('HGET', K.claims, id), expired[i + 1]}
  end_claim(id, load_claim(id), 'expired')
end
return replies
