-- start(claim, token, experiment, source, keys) -> {'lease', token, expires_ms, ttl_s} | {'gone'} | {'taken'}
--                       | {'held', ...} | {'tried', ...} (as claim.lua)
--                       | {'orphan'} (the delta's parent is not here)
--
-- USES: clock states claims
-- KEYS: meta claims expiry live held states stream ids experiments sources tried...
-- ARGV: 1 JSON {id, token, keys, ttl_s, memory_mb, waived (hex of packed experiments), x (experiment id), source (hash)}
--       2 packed experiment id  3 experiment  4 packed source hash  5 source  6 packed hash of the delta's
--       parent or ''; then the bytes of each key
--
-- Race closed: a lease that ends between the judgement of the code and the start, and two claims with
-- different words whose code is the same.

local ask = cjson.decode(ARGV[1])
begin()

local claim = live_claim(ask.id, ask.token)
if not claim then
  return {'gone'}
end
if claim.x ~= '' or redis.call('HEXISTS', K.experiments, ARGV[2]) == 1 then
  if claim.x ~= ask.x or claim.s ~= ask.source then
    return {'taken'}
  end
  claim.l = ask.ttl_s
  save_claim(ask.id, claim)
  return {'lease', claim.t, renew(ask.id, ask.ttl_s * 1000), tostring(ask.ttl_s)}
end

local is_stored = redis.call('HEXISTS', K.sources, ARGV[4]) == 1
if not is_stored and ARGV[6] ~= '' and redis.call('HEXISTS', K.sources, ARGV[6]) == 0 then
  return {'orphan'}
end
local blocked = find_block(ask.keys, NAMED_KEYS, 6, {[ask.id] = true}, ask.memory_mb, ask.waived)
if blocked then
  end_claim(ask.id, claim, 'released')
  return blocked
end

redis.call('HSETNX', K.sources, ARGV[4], ARGV[5])
redis.call('HSET', K.experiments, ARGV[2], ARGV[3])
redis.call('HSET', K.states, ARGV[2], 'r\0\0')
redis.call('RPUSH', K.ids, ARGV[2])
claim.x = ask.x
claim.b = string.gsub(ARGV[2], '.', function(c) return string.format('%02x', string.byte(c)) end)
claim.s = ask.source
claim.l = ask.ttl_s
hold(ask.id, claim, ask.keys)
save_claim(ask.id, claim)
local expires = renew(ask.id, ask.ttl_s * 1000)
emit('started', claim.c, claim.n, claim.x, claim.T)
note_begun(claim.c)
return {'lease', claim.t, expires, tostring(ask.ttl_s)}
