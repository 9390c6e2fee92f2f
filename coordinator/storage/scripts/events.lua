-- events(after, limit) -> {epoch, is_gap, id that was read after, entries}
--
-- USES: clock
-- FLAGS: no-writes
-- KEYS: meta stream
-- ARGV: 1 epoch of the position or '' for now  2 its stream id  3 limit
--
-- A gap: another epoch, no event of the stream (it was trimmed, or restored to before that event), or the
-- beginning of a stream that was trimmed.

peek()
if ARGV[1] == '' then
  return {epoch, 0, last_id(), {}}
end
local after = ARGV[2]
if tonumber(ARGV[1]) ~= epoch or not has_event(after) then
  return {epoch, 1, '', {}}
end
if after == '0-0' and last_id() ~= after then
  local info = redis.call('XINFO', 'STREAM', K.stream)
  local by_name = {}
  for i = 1, #info, 2 do
    by_name[info[i]] = info[i + 1]
  end
  if by_name['entries-added'] > by_name['length'] then
    return {epoch, 1, '', {}}
  end
end
return {epoch, 0, after, redis.call('XRANGE', K.stream, '(' .. after, '+', 'COUNT', ARGV[3])}
