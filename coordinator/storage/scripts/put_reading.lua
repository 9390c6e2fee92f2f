-- put_reading(experiment, seen, written, blocks) -> 1 (kept) | 0 (another record than the one that was seen)
--
-- USES: tried
-- KEYS: experiments tried...
-- ARGV: 1 packed experiment id  2 the experiment as it was read  3 the same with the reading  4 how many keys it
--         blocks  5 the memory that it ran out of, or ''; then the bytes of each key
--
-- Race closed: two replicas that write back what they read of one experiment. Each has packed the record
-- anew around its reading, so that neither may overwrite one that it has not seen. And a result that comes in
-- meanwhile and blocks the same keys.

if redis.call('HGET', K.experiments, ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('HSET', K.experiments, ARGV[1], ARGV[3])
keep_tried(ARGV[1], tonumber(ARGV[4]), ARGV[5], NAMED_KEYS, 5)
return 1
