-- set_program(program) -> 'version milliseconds' | '' (it is in force already)
--
-- USES: clock
-- KEYS: meta programs
-- ARGV: 1 program hash  2 hash of the challenge's own  3 program as JSON  4 how many versions are kept
--       A stored program is its version, its time in ms and its JSON, a blank after each of the first two.
--
-- Race closed: two operators who set a program in the same instant get two versions, one after the other.

begin()
if (redis.call('HGET', K.meta, 'program') or ARGV[2]) == ARGV[1] then
  return ''
end
local stamp = redis.call('HINCRBY', K.meta, 'programs', 1) .. ' ' .. whole(now)
redis.call('HSET', K.meta, 'program', ARGV[1], 'now', whole(now))
redis.call('RPUSH', K.programs, stamp .. ' ' .. ARGV[3])
redis.call('LTRIM', K.programs, -tonumber(ARGV[4]), -1)
return stamp
