-- touch_node(node, class, activity) -> 1 | 0 (no such node)
--
-- KEYS: nodes seen
-- ARGV: 1 node id  2 hardware class, '' to leave it, '-' for none  3 what it is doing, one line
--
-- A value of seen is 'milliseconds class activity'; the class may be blank and has no spaces.
--
-- Race closed: two heartbeats of one node; the later time stays, and a class that one brought is kept.

if redis.call('HEXISTS', K.nodes, ARGV[1]) == 0 then
  return 0
end
local time = redis.call('TIME')
local before_ms, class = string.match(redis.call('HGET', K.seen, ARGV[1]) or '0 ', '^(%d+) (%S*)')
local now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), tonumber(before_ms))
if ARGV[2] ~= '' then
  class = ARGV[2] == '-' and '' or ARGV[2]
end
redis.call('HSET', K.seen, ARGV[1], string.format('%.0f', now) .. ' ' .. class .. ' ' .. ARGV[3])
return 1
