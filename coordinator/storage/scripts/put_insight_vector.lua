-- put_insight_vector(insight, vector) -> 1 (kept) | 0 (there is no such insight)
--
-- KEYS: insights insight_vectors
-- ARGV: 1 packed insight id  2 length byte, model id, vector
--
-- Race closed: an insight that makes room for a newer one while it is embedded leaves no vector behind.

if redis.call('HEXISTS', K.insights, ARGV[1]) == 0 then
  return 0
end
redis.call('HSET', K.insight_vectors, ARGV[1], ARGV[2])
return 1
