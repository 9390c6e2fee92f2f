-- put_vector(experiment, model, vector) -> 1 (kept, now or before) | 0 (no such experiment)
--
-- KEYS: states models vectors
-- ARGV: 1 packed experiment id  2 model id  3 vector
--
-- Race closed: two replicas that embed one experiment append it once. The list keeps a vector at its own
-- size; the model's number in the experiment's state says that it is there. Numbers are counted in the
-- field '', so that one that was dropped is not given again before 254 others.

local state = redis.call('HGET', K.states, ARGV[1])
if not state then
  return 0
end
local number = tonumber(redis.call('HGET', K.models, ARGV[2]))
if not number then
  number = (redis.call('HINCRBY', K.models, '', 1) - 1) % 255 + 1
  redis.call('HSET', K.models, ARGV[2], number)
end
if string.byte(state, 2) ~= number then
  redis.call('RPUSH', K.vectors, string.char(#ARGV[1]) .. ARGV[1] .. ARGV[3])
  redis.call('HSET', K.states, ARGV[1],
    string.sub(state, 1, 1) .. string.char(number) .. string.sub(state, 3))
end
return 1
