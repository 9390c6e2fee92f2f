-- events(after, limit) -> {epoch, is_gap, id that was read after, entries}
--
-- USES: clock
-- FLAGS: no-writes
-- KEYS: meta stream
-- ARGV: 1 epoch of the position or '' for now  2 its stream id  3 limit
--
-- A gap: another epoch, a position that the stream has not reached (it was restored to before), or one
-- older than the first entry of a stream that was trimmed.

peek()
if ARGV[1] == '' then
  return {epoch, 0, last_id(), {}}
end
if tonumber(ARGV[1]) ~= epoch then
  return {epoch, 1, '', {}}
end

local function split(id)
  local millis, sequence = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(millis), tonumber(sequence)
end

local function is_before(a, b)
  local a_millis, a_sequence = split(a)
  local b_millis, b_sequence = split(b)
  return a_millis < b_millis or (a_millis == b_millis and a_sequence < b_sequence)
end

local after = ARGV[2]
if is_before(last_id(), after) then
  return {epoch, 1, '', {}}
end
local oldest = redis.call('XRANGE', K.stream, '-', '+', 'COUNT', 1)
if oldest[1] and is_before(after, oldest[1][1]) then
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
