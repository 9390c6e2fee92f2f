-- What a claim holds, and how it ends. Uses K.claims (hash: id -> JSON), K.expiry (zset: id by expiry in
-- milliseconds), K.live (hash: node -> its claim ids), K.held (hash: edit key -> the claim that holds it, or
-- the claims that do, a line each, where the key may be shared), K.states.
--
-- The JSON of a claim: f fingerprint, n node, c class, k kind, T title, t token, l ttl_s, h held keys (hex),
-- x experiment id and b its packed form in hex (both '' before the start), s source hash, r the request as
-- the client wrote it.

local function load_claim(id)
  local text = redis.call('HGET', K.claims, id)
  return text and cjson.decode(text) or nil
end

local function save_claim(id, claim)
  redis.call('HSET', K.claims, id, cjson.encode(claim))
end

local function is_live(id)
  local expires = redis.call('ZSCORE', K.expiry, id)
  return expires and tonumber(expires) > now
end

local function ids_at(hash, field)
  local ids = {}
  for id in string.gmatch(redis.call('HGET', hash, field) or '', '[^\n]+') do
    ids[#ids + 1] = id
  end
  return ids
end

local function set_ids_at(hash, field, ids)
  if #ids == 0 then
    redis.call('HDEL', hash, field)
  else
    redis.call('HSET', hash, field, table.concat(ids, '\n'))
  end
end

local function drop_id_at(hash, field, id)
  local kept = {}
  for _, other in ipairs(ids_at(hash, field)) do
    if other ~= id then
      kept[#kept + 1] = other
    end
  end
  set_ids_at(hash, field, kept)
end

local function claims_of(node)
  return ids_at(K.live, node)
end

-- Frees what the claim holds; a started experiment that is unfinished becomes LOST. No event if kind is nil.
local function end_claim(id, claim, kind)
  redis.call('HDEL', K.claims, id)
  redis.call('ZREM', K.expiry, id)
  drop_id_at(K.live, claim.n, id)
  for _, key in ipairs(claim.h) do
    drop_id_at(K.held, key, id)
  end
  if claim.b ~= '' then
    lose_if_unfinished(unhex(claim.b))
  end
  if kind then
    emit(kind, claim.c, claim.n, claim.x, claim.T)
  end
end

-- The claim if it lives under this token; an expired one is ended on the way.
local function live_claim(id, token)
  local claim = load_claim(id)
  if not claim then
    return nil
  end
  if not is_live(id) then
    end_claim(id, claim, 'expired')
    return nil
  end
  return claim.t == token and claim or nil
end

-- Adds what it does not hold yet, beside the others that share the key; the caller saves the claim.
local function hold(id, claim, keys)
  local has = {}
  for _, key in ipairs(claim.h) do
    has[key] = true
  end
  for _, key in ipairs(keys) do
    if not has[key] then
      local holders = ids_at(K.held, key)
      holders[#holders + 1] = id
      set_ids_at(K.held, key, holders)
      claim.h[#claim.h + 1] = key
      has[key] = true
    end
  end
end

local function renew(id, ttl_ms)
  local expires = now + ttl_ms
  redis.call('ZADD', K.expiry, whole(expires), id)
  return whole(expires)
end

-- The live claims that hold `key`; expired ones but for those of `own` are ended on the way.
local function holders_of(key, own)
  local holders = {}
  for _, id in ipairs(ids_at(K.held, key)) do
    if own[id] or is_live(id) then
      holders[#holders + 1] = id
    else
      end_claim(id, load_claim(id), 'expired')
    end
  end
  return holders
end

-- The first of `keys` that blocks, as a reply, or nil. Key i is judged by K.held under its hex and by the
-- hash KEYS[tried_at + i] under its bytes ARGV[bytes_at + i]: a length byte, the packed experiment, and
-- for a run out of memory the memory it had. What the experiments of `waived` (packed ids in hex) tried
-- blocks nothing, and a key that `own` holds is not judged again.
local function find_block(keys, tried_at, bytes_at, own, memory_mb, waived)
  local is_waived = {}
  for _, id in ipairs(waived) do
    is_waived[unhex(id)] = true
  end
  for i, key in ipairs(keys) do
    local holder = holders_of(key, own)[1]
    if holder and not own[holder] then
      local claim = load_claim(holder)
      return {'held', i, holder, claim.n, claim.T, claim.x}
    end
    local tried = not holder and redis.call('HGET', KEYS[tried_at + i], ARGV[bytes_at + i])
    if tried then
      local length = string.byte(tried)
      local experiment, limit = string.sub(tried, 2, length + 1), string.sub(tried, length + 2)
      if not is_waived[experiment] and (limit == '' or memory_mb <= tonumber(limit)) then
        return {'tried', i, experiment}
      end
    end
  end
  return nil
end

-- {claim as JSON, expires_ms} of at most `shown` live claims that hold one of `subjects`, but for those of `own`
-- and `compared`.
local function find_shared(subjects, own, compared, shown)
  local seen, found = {}, {}
  for id in pairs(own) do
    seen[id] = true
  end
  for _, id in ipairs(compared) do
    seen[id] = true
  end
  for _, subject in ipairs(subjects) do
    for _, id in ipairs(holders_of(subject, own)) do
      if not seen[id] and #found < shown then
        seen[id] = true
        found[#found + 1] = {redis.call('HGET', K.claims, id), redis.call('ZSCORE', K.expiry, id)}
      end
    end
  end
  return found
end
