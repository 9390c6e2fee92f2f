-- put_token(token) -> 1
--
-- KEYS: tokens token_ids uses
-- ARGV: 1 token hash  2 token id  3 token as JSON  4 uses left, or '' for no limit
--
-- Race closed: none between writers; the three entries appear together.

redis.call('HSET', K.tokens, ARGV[1], ARGV[3])
redis.call('HSET', K.token_ids, ARGV[2], ARGV[1])
redis.call('HSET', K.uses, ARGV[1], ARGV[4])
return 1
