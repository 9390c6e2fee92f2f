-- How a hardware class moves on. Uses K.classes (hash: 'v' .. class -> version, 's' .. class -> state),
-- K.confirmed (hash: class -> best as JSON), K.history (list), K.global (string), K.ghistory (list),
-- K.made (set of experiments that were best once), K.credit (hash), K.states.

local function class_version(class)
  return tonumber(redis.call('HGET', K.classes, 'v' .. class) or 0)
end

local function stale(class)
  return {'stale', class_version(class), redis.call('HGET', K.classes, 's' .. class) or ''}
end

-- Keeps the best confirmed of all classes. Of equal means the one that stands stays, then the class's
-- name decides.
local function choose_global(is_lower, reason)
  local standing = redis.call('GET', K.global)
  local standing_id = standing and cjson.decode(standing).experiment_id or ''
  local best, best_text
  local all = redis.call('HGETALL', K.confirmed)
  for i = 1, #all, 2 do
    local one = cjson.decode(all[i + 1])
    one.score = is_lower and one.mean or -one.mean
    one.rank = one.experiment_id == standing_id and 0 or 1
    local is_better = not best or one.score < best.score
    if best and one.score == best.score then
      is_better = one.rank < best.rank or (one.rank == best.rank and all[i] < best.class)
    end
    if is_better then
      best, best_text = one, all[i + 1]
      best.class = all[i]
    end
  end
  if not best then
    redis.call('DEL', K.global)
    return
  end
  redis.call('SET', K.global, best_text)
  if best.experiment_id ~= standing_id then
    redis.call('RPUSH', K.ghistory, '{"best":' .. best_text .. ',"previous":' .. cjson.encode(standing_id)
      .. ',"reason":' .. cjson.encode(reason) .. ',"at":' .. whole(now * 1000) .. '}')
  end
end

-- Writes the class's next state with all that follows from it. `update` is the decoded JSON (lower,
-- confirmed, marks: {code, reason}, changes: {class, node, experiment, is_new, reason}); ARGV has from
-- `at` on: the state's text, the packed id of each mark, and per change its packed experiment id, the
-- history line and the best as JSON.
local function apply_update(class, update, at)
  redis.call('HINCRBY', K.classes, 'v' .. class, 1)
  redis.call('HSET', K.classes, 's' .. class, ARGV[at])
  if update.confirmed == '' then
    redis.call('HDEL', K.confirmed, class)
  else
    redis.call('HSET', K.confirmed, class, update.confirmed)
  end
  for i, mark in ipairs(update.marks) do
    set_state(ARGV[at + i], mark[1], mark[2])
  end
  at = at + #update.marks
  local reason = ''
  for _, change in ipairs(update.changes) do
    redis.call('RPUSH', K.history, ARGV[at + 2])
    if change.is_new and redis.call('SADD', K.made, ARGV[at + 1]) == 1 then
      redis.call('HINCRBY', K.credit, 'b' .. change.node, 1)
    end
    emit('best_changed', change.class, change.node, change.experiment, change.reason, ARGV[at + 3])
    reason = change.reason
    at = at + 3
  end
  choose_global(update.lower, reason)
end
