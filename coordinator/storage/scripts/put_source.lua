-- put_source(source) -> 1 (stored, now or before) | 0 (the delta's parent is not here)
--
-- KEYS: sources
-- ARGV: 1 packed source hash  2 source  3 packed hash of the delta's parent or ''
--
-- Race closed: a delta must never be stored without what it was made from, though the client may have
-- read that before a failover lost it.

if redis.call('HEXISTS', K.sources, ARGV[1]) == 1 then
  return 1
end
if ARGV[3] ~= '' and redis.call('HEXISTS', K.sources, ARGV[3]) == 0 then
  return 0
end
redis.call('HSET', K.sources, ARGV[1], ARGV[2])
return 1
