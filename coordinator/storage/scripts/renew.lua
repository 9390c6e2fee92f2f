-- renew(node, ttl, claims) -> per claim {token, expires_ms}, or {} for one that the node does not hold
--
-- USES: clock states claims
-- KEYS: meta claims expiry live held states stream
-- ARGV: 1 node id  2 ttl_s; then claim ids
--
-- Race closed: a heartbeat and a claim by another that finds the lease expired; whichever comes first is
-- the truth for both.

begin()
local replies = {}
local ttl_s = tonumber(ARGV[2])
for i = 3, #ARGV do
  local id = ARGV[i]
  local claim = load_claim(id)
  if claim and claim.n == ARGV[1] and is_live(id) then
    if claim.l ~= ttl_s then
      claim.l = ttl_s
      save_claim(id, claim)
    end
    replies[#replies + 1] = {claim.t, renew(id, ttl_s * 1000)}
    redis.call('HSET', K.meta, 'now', whole(now))
  else
    replies[#replies + 1] = {}
  end
end
return replies
