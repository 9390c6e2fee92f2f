-- publish(publication) -> {'accepted', epoch, stream id, is_repeat, is_late} | {'taken'} | {'unknown'}
--                       | {'stale', version, state} | {'orphan'} (the delta's parent is not here)
--                       | {'behind', epoch, stream id}
--
-- USES: clock states claims classes ideas tried
-- KEYS: meta claims expiry live held states stream ids experiments sources results evidence classes
--       confirmed history global ghistory made credit ideas queue shares idea_owners tried...
-- ARGV: 1 JSON {class, seen, claim, token, ends, needs_claim, scored, code, reason, outcome, node, x, train_s,
--         settles (hex), proposer, has_source, has_experiment, blocks (how many), memory_mb ('' or text), update
--         or false, known_to (stream id up to which experiments were known to who decided this, or ''), epoch
--         (of that)}
--       2 packed result id  3 fingerprint  4 result  5 evidence or ''  6 packed experiment id
--       7 experiment or ''  8 packed source hash  9 source or ''  10 packed hash of the delta's parent or ''
--       then the bytes of each blocked key, then what apply_update reads
--       A stored result is fingerprint (8 bytes), flags (1: 1 late, 2 unscored), time in ms (8, a double),
--       the packed result.
--
-- Races closed: two results that both saw the same class (the second decides again); a repeat after a
-- lost reply (accepted, nothing written); a result whose lease has passed on (kept, marked late); a store that
-- was restored while a result was decided by what it has lost.

local ask = cjson.decode(ARGV[1])
begin()

local known = redis.call('HGET', K.results, ARGV[2])
if known then
  if string.sub(known, 1, 8) ~= ARGV[3] then
    return {'taken'}
  end
  return {'accepted', epoch, last_id(), 1, string.byte(known, 9) % 2}
end
if ask.known_to ~= '' and not (ask.epoch == epoch and has_event(ask.known_to)) then
  return {'behind', epoch, last_id()}
end
local id = ARGV[6]
local has_experiment = redis.call('HEXISTS', K.experiments, id) == 1
if not has_experiment and not ask.has_experiment then
  return {'unknown'}
end
if class_version(ask.class) ~= ask.seen then
  return stale(ask.class)
end
if ask.has_source and redis.call('HEXISTS', K.sources, ARGV[8]) == 0 then
  if ARGV[10] ~= '' and redis.call('HEXISTS', K.sources, ARGV[10]) == 0 then
    return {'orphan'}
  end
  redis.call('HSET', K.sources, ARGV[8], ARGV[9])
end

local claim = ask.claim ~= '' and live_claim(ask.claim, ask.token) or nil
local is_late = ask.claim ~= '' and not claim
if ask.needs_claim and not claim then
  ask.scored, ask.code, ask.blocks, ask.update = false, '', 0, false
end
if not has_experiment then
  redis.call('HSET', K.experiments, id, ARGV[7])
  redis.call('HSET', K.states, id, 'r\0\0')
  redis.call('RPUSH', K.ids, id)
end
redis.call('HSET', K.results, ARGV[2],
  ARGV[3] .. string.char((is_late and 1 or 0) + (ask.scored and 0 or 2)) .. struct.pack('>d', now) .. ARGV[4])
if ARGV[5] ~= '' then
  redis.call('HSET', K.evidence, ARGV[2], ARGV[5])
end
add_run(id, ARGV[2])
if ask.code ~= '' then
  set_state(id, ask.code, ask.reason)
end

keep_tried(id, ask.blocks, ask.memory_mb, NAMED_KEYS, 10)

redis.call('HINCRBY', K.credit, 'r' .. ask.node, 1)
redis.call('HINCRBYFLOAT', K.credit, 't' .. ask.node, ask.train_s)
if claim and ask.ends then
  end_claim(ask.claim, claim, nil)
  if ask.proposer ~= '' then
    redis.call('HINCRBY', K.credit, 'i' .. ask.proposer, 1)
  end
end
if ask.settles ~= '' then
  remove_idea(unhex(ask.settles), true)
end
emit('published', ask.class, ask.node, ask.x, ask.outcome)
if not has_experiment then
  note_begun(ask.class)
end
if ask.update then
  apply_update(ask.class, ask.update, 11 + ask.blocks)
end
return {'accepted', epoch, last_event_id, 0, is_late and 1 or 0}
