-- live_claims() -> {claim as JSON, expires_ms} per claim that lives now
--
-- USES: clock
-- FLAGS: no-writes
-- KEYS: meta claims expiry

peek()
local replies = {}
local live = redis.call('ZRANGEBYSCORE', K.expiry, '(' .. whole(now), '+inf', 'WITHSCORES')
for i = 1, #live, 2 do
  replies[#replies + 1] = {redis.call('HGET', K.claims, live[i]), live[i + 1]}
end
return replies
