-- The changing part of an experiment: one short string in K.states under its packed id.
--
-- Layout: state code (1 byte), vector model (1 byte, 0 for none), the results in order of arrival (each a
-- length byte and the packed id), a zero byte, the reason. 'r' is RUNNING and 'l' is LOST; the other codes
-- are the client's.

local function unhex(text)
  return (string.gsub(text, '..', function(pair) return string.char(tonumber(pair, 16)) end))
end

local function state_runs(state)
  local at = 3
  while string.byte(state, at) ~= 0 do
    at = at + string.byte(state, at) + 1
  end
  return string.sub(state, 3, at - 1)
end

-- Replaces code and reason; an experiment that the store does not know stays unknown.
local function set_state(id, code, reason)
  local state = redis.call('HGET', K.states, id)
  if state then
    redis.call('HSET', K.states, id,
      code .. string.sub(state, 2, 2) .. state_runs(state) .. '\0' .. reason)
  end
end

local function add_run(id, result_id)
  local state = redis.call('HGET', K.states, id)
  local runs = state_runs(state)
  local rest = string.sub(state, 3 + #runs)
  redis.call('HSET', K.states, id,
    string.sub(state, 1, 2) .. runs .. string.char(#result_id) .. result_id .. rest)
end

local function lose_if_unfinished(id)
  local state = redis.call('HGET', K.states, id)
  if state and string.sub(state, 1, 1) == 'r' then
    set_state(id, 'l', '')
  end
end
