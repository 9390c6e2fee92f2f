-- withdraw_idea(id, node, owner) -> 1 if it waited, else 0 | -1 (it is another's)
--
-- USES: ideas
-- KEYS: meta ideas queue shares idea_owners
-- ARGV: 1 packed idea id  2 node  3 owner
--
-- Race closed: an idea that is settled, and so nobody's any more, while its owner takes it back.

local idea = redis.call('HGET', K.ideas, ARGV[1])
if not idea then
  return 0
end
if redis.call('HGET', K.idea_owners, ARGV[1]) ~= ARGV[3] and string.sub(idea, 2, string.byte(idea) + 1) ~= ARGV[2] then
  return -1
end
return remove_idea(ARGV[1], false)
