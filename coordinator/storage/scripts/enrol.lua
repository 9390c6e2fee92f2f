-- enrol(node, token hash) -> {'node', node as JSON, seen or ''} | {'conflict'}
--                          | {'refused', 'unknown' | 'revoked' | 'expired' | 'spent' | 'other owner', token as JSON or ''}
--
-- KEYS: nodes seen tokens uses revoked meta
-- ARGV: 1 node id  2 node as JSON (key: public key in hex, owner_id, has_vote)  3 token hash or ''
--
-- Race closed: two nodes that spend the last use of one token.

local text = redis.call('HGET', K.nodes, ARGV[1])
local node = cjson.decode(text or ARGV[2])
if text and node.public_key ~= cjson.decode(ARGV[2]).public_key then
  return {'conflict'}
end
local seen = redis.call('HGET', K.seen, ARGV[1]) or ''
if text and ARGV[3] == '' then
  return {'node', text, seen}
end

if ARGV[3] ~= '' then
  local token_text = redis.call('HGET', K.tokens, ARGV[3])
  if not token_text then
    return {'refused', 'unknown', ''}
  end
  local token = cjson.decode(token_text)
  if text and node.has_vote then
    if token.owner_id ~= node.owner_id then
      return {'refused', 'other owner', token_text}
    end
    return {'node', text, seen}
  end
  local time = redis.call('TIME')
  local last = tonumber(redis.call('HGET', K.meta, 'now') or 0)
  local now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), last)
  local uses = redis.call('HGET', K.uses, ARGV[3])
  local why = redis.call('SISMEMBER', K.revoked, ARGV[3]) == 1 and 'revoked'
    or token.expires_ms ~= '' and tonumber(token.expires_ms) <= now and 'expired'
    or uses ~= '' and tonumber(uses) <= 0 and 'spent'
  if why then
    return {'refused', why, token_text}
  end
  if uses ~= '' then
    redis.call('HINCRBY', K.uses, ARGV[3], -1)
  end
  redis.call('HSET', K.meta, 'now', string.format('%.0f', now))
  node.owner_id = token.owner_id
  node.has_vote = true
end
text = cjson.encode(node)
redis.call('HSET', K.nodes, ARGV[1], text)
return {'node', text, seen}
