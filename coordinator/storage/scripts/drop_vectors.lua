-- drop_vectors(model) -> 1 (they were there) | 0 (there were none)
--
-- KEYS: models vectors
-- ARGV: 1 model id
--
-- Should the model come back, it gets another number, so that no experiment's state says of a vector that is
-- gone that it is there.

redis.call('UNLINK', K.vectors)
return redis.call('HDEL', K.models, ARGV[1])
