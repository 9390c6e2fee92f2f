-- claim(request, keys) -> {'lease', token, expires_ms, ttl_s} | {'held', i, claim, node, title, experiment}
--                       | {'tried', i, experiment} | {'taken'} | {'many', live} | {'behind', epoch, stream id}
--                       | {'shared', {claim as JSON, expires_ms} per live claim about a subject of this one}
--
-- USES: clock states claims
-- KEYS: meta claims expiry live held states stream tried...   (one bucket of tried keys per key)
-- ARGV: 1 JSON {id, f, n, c, k, T, keys, subjects (keys that live claims may share), compared (claims that share
--         one and were found to differ; false: it is compared with nobody), shown (how many more are named), ttl_s, max_live, memory_mb, takes_over, waived (hex of packed
--         experiments), seen (stream id that the judge's index stands at, or ''), epoch (of that position)}
--       2 the request as the client wrote it; then the bytes of each key
--
-- Races closed: two nodes that ask for one edit in the same instant. Look-up, judgement and hold are one
-- step, so the second sees the first's hold; an expired holder is ended in the same step. And a judge that
-- had not heard yet of an experiment like this one: its claim is turned back until it has. And paraphrases:
-- whoever is about the same subject is compared with all that hold it, and then holds it beside them, so that
-- no two that are about one thing begin without having met.

local ask = cjson.decode(ARGV[1])
begin()

local function is_later(one, other)
  local ms, sequence = string.match(one, '(%d+)-(%d+)')
  local other_ms, other_sequence = string.match(other, '(%d+)-(%d+)')
  if ms ~= other_ms then
    return tonumber(ms) > tonumber(other_ms)
  end
  return tonumber(sequence) > tonumber(other_sequence)
end

local present = load_claim(ask.id)
if present and is_live(ask.id) then
  if present.f ~= ask.f or present.n ~= ask.n then
    return {'taken'}
  end
  return {'lease', present.t, redis.call('ZSCORE', K.expiry, ask.id), tostring(present.l)}
end

if present then
  end_claim(ask.id, present, 'expired')
end
for _, id in ipairs(claims_of(ask.n)) do
  if not is_live(id) then
    end_claim(id, load_claim(id), 'expired')
  end
end

local before = ask.takes_over ~= '' and load_claim(ask.takes_over) or nil
if before and not (before.k == 'queued' and before.n == ask.n and before.c == ask.c) then
  before = nil
end
local mine = claims_of(ask.n)
local live = #mine - (before and 1 or 0)
if live >= ask.max_live then
  return {'many', live}
end

local begun = redis.call('HGET', K.meta, 'begun:' .. ask.c) or '0-0'
local is_ours = ask.epoch == epoch and has_event(ask.seen)
if ask.seen ~= '' and (not is_ours or is_later(begun, ask.seen)) then
  return {'behind', epoch, begun}
end

local own = {}
if before then
  own[ask.takes_over] = true
end
local blocked = find_block(ask.keys, NAMED_KEYS, 2, own, ask.memory_mb, ask.waived)
if blocked then
  return blocked
end

local shared = ask.compared and find_shared(ask.subjects, own, ask.compared, ask.shown) or {}
if #shared > 0 then
  return {'shared', unpack(shared)}
end

local passed_on = {}
if before then
  passed_on = before.h
  end_claim(ask.takes_over, before, nil)
end
local token = whole(epoch * TOKEN_SHIFT + redis.call('HINCRBY', K.meta, 'counter', 1))
local claim = {f = ask.f, n = ask.n, c = ask.c, k = ask.k, T = ask.T, t = token, l = ask.ttl_s,
  h = {}, x = '', b = '', s = '', r = ARGV[2]}
hold(ask.id, claim, passed_on)
hold(ask.id, claim, ask.keys)
hold(ask.id, claim, ask.subjects)
save_claim(ask.id, claim)
mine = claims_of(ask.n)
mine[#mine + 1] = ask.id
set_ids_at(K.live, ask.n, mine)
local expires = renew(ask.id, ask.ttl_s * 1000)
emit('claimed', ask.c, ask.n, '', ask.T)
return {'lease', token, expires, tostring(ask.ttl_s)}
