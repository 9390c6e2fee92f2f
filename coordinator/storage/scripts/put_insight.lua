-- put_insight(insight) -> 'kept' | 'repeat' | 'full' | 'taken' | i (the i-th experiment that it names is not here)
--
-- USES: clock
-- KEYS: meta experiments insights insight_order insight_days insight_vectors
-- ARGV: 1 packed insight id  2 fingerprint  3 insight  4 node  5 max_per_day  6 how many are kept
--       then the packed id of each experiment
--       A stored insight is its fingerprint (8 bytes) and the packed record; insight_order has the packed
--       ids by order of arrival, insight_days per node 'day count'.
--
-- Race closed: two insights of one node that each see room for one more, and an insight whose evidence is
-- judged while it comes in.

local DAY_MS = 86400000
begin()
local known = redis.call('HGET', K.insights, ARGV[1])
if known then
  return string.sub(known, 1, 8) == ARGV[2] and 'repeat' or 'taken'
end
for i = 7, #ARGV do
  if redis.call('HEXISTS', K.experiments, ARGV[i]) == 0 then
    return i - 6
  end
end
local today = whole(math.floor(now / DAY_MS))
local day, shared = string.match(redis.call('HGET', K.insight_days, ARGV[4]) or '', '^(%d+) (%d+)$')
shared = day == today and tonumber(shared) or 0
if shared >= tonumber(ARGV[5]) then
  return 'full'
end
redis.call('HSET', K.insight_days, ARGV[4], today .. ' ' .. shared + 1)
redis.call('HSET', K.insights, ARGV[1], ARGV[2] .. ARGV[3])
redis.call('ZADD', K.insight_order, redis.call('HINCRBY', K.meta, 'insights', 1), ARGV[1])
local over = redis.call('ZCARD', K.insight_order) - tonumber(ARGV[6])
if over > 0 then
  local oldest = redis.call('ZPOPMIN', K.insight_order, over)
  for i = 1, #oldest, 2 do
    redis.call('HDEL', K.insights, oldest[i])
    redis.call('HDEL', K.insight_vectors, oldest[i])
  end
end
redis.call('HSET', K.meta, 'now', whole(now))
return 'kept'
