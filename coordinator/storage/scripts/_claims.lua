-- What a claim holds, and how it ends. Uses K.claims (hash: id -> JSON), K.expiry (zset: id by expiry in
-- milliseconds), K.live (hash: node -> its claim ids), K.held (hash: edit key -> claim id), K.states.
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

local function claims_of(node)
  local ids = {}
  for id in string.gmatch(redis.call('HGET', K.live, node) or '', '[^\n]+') do
    ids[#ids + 1] = id
  end
  return ids
end

local function set_claims_of(node, ids)
  if #ids == 0 then
    redis.call('HDEL', K.live, node)
  else
    redis.call('HSET', K.live, node, table.concat(ids, '\n'))
  end
end

-- Frees what the claim holds; a started experiment that is unfinished becomes LOST. No event if kind is nil.
local function end_claim(id, claim, kind)
  redis.call('HDEL', K.claims, id)
  redis.call('ZREM', K.expiry, id)
  local kept = {}
  for _, other in ipairs(claims_of(claim.n)) do
    if other ~= id then
      kept[#kept + 1] = other
    end
  end
  set_claims_of(claim.n, kept)
  for _, key in ipairs(claim.h) do
    redis.call('HDEL', K.held, key)
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

-- Adds what is not held yet; the caller saves the claim.
local function hold(id, claim, keys)
  for _, key in ipairs(keys) do
    if redis.call('HGET', K.held, key) ~= id then
      redis.call('HSET', K.held, key, id)
      claim.h[#claim.h + 1] = key
    end
  end
end

local function renew(id, ttl_ms)
  local expires = now + ttl_ms
  redis.call('ZADD', K.expiry, whole(expires), id)
  return whole(expires)
end

-- The first of `keys` that blocks, as a reply, or nil. Key i is judged by K.held under its hex and by the
-- hash KEYS[tried_at + i] under its bytes ARGV[bytes_at + i]: a length byte, the packed experiment, and
-- for a run out of memory the memory it had. What the experiments of `waived` (packed ids in hex) tried
-- blocks nothing. Expired holders are ended on the way.
local function find_block(keys, tried_at, bytes_at, own, memory_mb, waived)
  local is_waived = {}
  for _, id in ipairs(waived) do
    is_waived[unhex(id)] = true
  end
  for i, key in ipairs(keys) do
    local holder = redis.call('HGET', K.held, key)
    if not (holder and own[holder]) then
      if holder then
        local claim = load_claim(holder)
        if is_live(holder) then
          return {'held', i, holder, claim.n, claim.T, claim.x}
        end
        end_claim(holder, claim, 'expired')
      end
      local tried = redis.call('HGET', KEYS[tried_at + i], ARGV[bytes_at + i])
      if tried then
        local length = string.byte(tried)
        local experiment, limit = string.sub(tried, 2, length + 1), string.sub(tried, length + 2)
        if not is_waived[experiment] and (limit == '' or memory_mb <= tonumber(limit)) then
          return {'tried', i, experiment}
        end
      end
    end
  end
  return nil
end
