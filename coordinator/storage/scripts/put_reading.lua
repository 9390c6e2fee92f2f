-- put_reading(experiment, seen, written) -> 1 (kept) | 0 (another record than the one that was seen)
--
-- KEYS: experiments
-- ARGV: 1 packed experiment id  2 the experiment as it was read  3 the same with the reading
--
-- Race closed: two replicas that write back what they read of one experiment. Each has packed the record
-- anew around its reading, so that neither may overwrite one that it has not seen.

if redis.call('HGET', K.experiments, ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HSET', K.experiments, ARGV[1], ARGV[3])
return 1
