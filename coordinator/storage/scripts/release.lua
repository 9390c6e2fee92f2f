-- release(claim, node, token) -> 1 if it was held, else 0
--
-- USES: clock states claims
-- KEYS: meta claims expiry live held states stream
-- ARGV: 1 claim id  2 node id  3 fencing token
--
-- Race closed: a release that arrives after the lease has passed to another must free nothing.

begin()
local claim = live_claim(ARGV[1], ARGV[3])
if not claim or claim.n ~= ARGV[2] then
  return 0
end
end_claim(ARGV[1], claim, 'released')
return 1
