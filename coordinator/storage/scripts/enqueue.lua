-- enqueue(idea) -> 'queued' | 'repeat' | 'full' | 'taken' | 'orphan' (the delta's parent is not here)
--
-- USES: clock ideas
-- KEYS: meta stream ideas queue shares idea_owners idea_slots proposed sources
-- ARGV: 1 JSON {node, owner, priority, x (origin), title, max_per_node, per_turn, has_source}  2 packed idea id  3 fingerprint  4 idea
--       5 packed source hash  6 source or ''  7 packed hash of the delta's parent or ''
--       idea_slots has a digit of priority and the owner -> its next free slot, of which a turn has per_turn.
--
-- Races closed: two proposals of one node that each see room for one more, and two of one owner that each
-- take the last place in a turn.

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
local slot = tonumber(redis.call('HGET', K.meta, 'turn') or 0) * ask.per_turn
for priority = ask.priority, 9 do
  slot = math.max(slot, tonumber(redis.call('HGET', K.idea_slots, priority .. ask.owner) or 0))
end
redis.call('HSET', K.idea_slots, ask.priority .. ask.owner, slot + 1)
local turn = math.floor(slot / ask.per_turn)
local arrival = redis.call('HINCRBY', K.meta, 'ideas', 1) % PRIORITY
redis.call('ZADD', K.queue, whole(turn * TURN + (9 - ask.priority) * PRIORITY + arrival), ARGV[2])
redis.call('HSET', K.idea_owners, ARGV[2], ask.owner)
redis.call('HINCRBY', K.shares, ask.node, 1)
emit('proposed', '', ask.node, ask.x, ask.title)
return 'queued'
