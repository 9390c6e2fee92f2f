-- remove_idea(id) -> 1 if it waited, else 0
--
-- USES: ideas
-- KEYS: meta ideas queue shares idea_owners
-- ARGV: 1 packed idea id
--
-- Race closed: two that remove one idea must take it off its node's share once.

return remove_idea(ARGV[1], true)
