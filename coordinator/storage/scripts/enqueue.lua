-- enqueue(idea) -> 'queued' | 'repeat' | 'full' | 'taken' | 'orphan' (the delta's parent is not here)
--
-- USES: clock
-- KEYS: meta stream ideas queue shares proposed sources
-- ARGV: 1 JSON {node, x (origin), title, max_per_node, has_source}  2 packed idea id  3 fingerprint  4 idea
--       5 packed source hash  6 source or ''  7 packed hash of the delta's parent or ''
--
-- Race closed: two proposals of one node that each see room for one more.

local ask = cjson.decode(ARGV[1])
begin()
local known = redis.call('HGET', K.proposed, ARGV[2])
if known then
  return known == ARGV[3] and 'repeat' or 'taken'
end
if tonumber(redis.call('HGET', K.shares, ask.node) or 0) >= ask.max_per_node then
  return 'full'
end
if ask.has_source and redis.call('HEXISTS', K.sources, ARGV[5]) == 0 then
  if ARGV[7] ~= '' and redis.call('HEXISTS', K.sources, ARGV[7]) == 0 then
    return 'orphan'
  end
  redis.call('HSET', K.sources, ARGV[5], ARGV[6])
end
redis.call('HSET', K.proposed, ARGV[2], ARGV[3])
redis.call('HSET', K.ideas, ARGV[2], ARGV[4])
redis.call('ZADD', K.queue, redis.call('HINCRBY', K.meta, 'ideas', 1), ARGV[2])
redis.call('HINCRBY', K.shares, ask.node, 1)
emit('proposed', '', ask.node, ask.x, ask.title)
return 'queued'
