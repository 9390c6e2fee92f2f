-- What every transition of a challenge begins with: the store's time, its epoch, and its events.
--
-- The loader puts the named parts before a script's own body, with K (its KEYS by name),
-- NAMED_KEYS (how many those are) and EVENTS_KEPT.
-- Uses K.meta (hash: now, epoch, run, counter, and per class begun:CLASS) and, in emit, K.stream.

-- An emptied store knows no last epoch, so an epoch is at least the number of ten minutes since 2026 (they
-- fit in a token's 21 bits until 2065), and its counter starts at the time within them.
local EPOCH_UNIT_MS, EPOCH_ORIGIN_MS = 600000, 1767225600000
local COUNTS_PER_MS = 64
local TOKEN_SHIFT = 4294967296 -- a fencing token is epoch * 2^32 + counter, and fits in a double
local now, epoch, last_event_id

local function whole(number)
  return string.format('%.0f', number)
end

-- Reads time and epoch. Time is the later of TIME and what was last written, so it never goes back.
-- A server process that is not the one that wrote last (restart, failover, restore) is a new epoch: it
-- cannot prove that it lost nothing. Returns the process's id and whether the epoch is new.
local function peek()
  local time = redis.call('TIME')
  local seen = redis.call('HMGET', K.meta, 'now', 'epoch', 'run')
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), tonumber(seen[1] or 0))
  epoch = tonumber(seen[2] or 0)
  if seen[3] == run then
    return run, false
  end
  epoch = math.max(epoch + 1, math.floor((now - EPOCH_ORIGIN_MS) / EPOCH_UNIT_MS))
  return run, true
end

local function begin()
  local run, is_new = peek()
  if is_new then
    redis.call('HSET', K.meta, 'epoch', whole(epoch), 'run', run, 'now', whole(now),
      'counter', whole(now % EPOCH_UNIT_MS * COUNTS_PER_MS))
  end
end

local function emit(kind, class, node, experiment, text, best)
  redis.call('HSET', K.meta, 'now', whole(now))
  local entry = {'XADD', K.stream, 'MAXLEN', '~', EVENTS_KEPT, '*',
    'k', kind, 'c', class, 'n', node, 'x', experiment, 't', text}
  if best then
    entry[#entry + 1] = 'b'
    entry[#entry + 1] = best
  end
  last_event_id = redis.call(unpack(entry))
end

-- Remembers the last event as the newest of a class by which an experiment became known.
local function note_begun(class)
  redis.call('HSET', K.meta, 'begun:' .. class, last_event_id)
end

-- True for the beginning of the stream and for an event that it has. Two histories may have one epoch: a server
-- that is started twice within EPOCH_UNIT_MS, the second time from an older copy. Their events differ, since ids
-- are times.
local function has_event(id)
  return id == '0-0' or redis.pcall('XRANGE', K.stream, id, id)[1] ~= nil
end

local function last_id()
  local newest = redis.call('XREVRANGE', K.stream, '+', '-', 'COUNT', 1)
  return newest[1] and newest[1][1] or '0-0'
end
