-- The queue. Uses K.ideas (hash: packed id -> idea), K.queue (zset: packed id by place), K.shares (hash:
-- node -> how many of its ideas wait), K.idea_owners (hash: packed id -> owner) and K.meta (its 'turn'). An
-- idea starts with a length byte and its node.
--
-- A place is (turn * 10 + 9 - priority) * 2^31 + arrival. It is exact up to the 400,000th turn; after that
-- the order of arrival within a turn blurs, and nothing else.

local TURN, PRIORITY = 10 * 2147483648, 2147483648

-- An idea that is settled has had its turn; one that is withdrawn has not.
local function remove_idea(id, is_settled)
  local idea = redis.call('HGET', K.ideas, id)
  if not idea then
    return 0
  end
  local node = string.sub(idea, 2, string.byte(idea) + 1)
  local turn = math.floor(tonumber(redis.call('ZSCORE', K.queue, id) or 0) / TURN)
  if is_settled and turn > tonumber(redis.call('HGET', K.meta, 'turn') or 0) then
    redis.call('HSET', K.meta, 'turn', turn)
  end
  redis.call('HDEL', K.ideas, id)
  redis.call('ZREM', K.queue, id)
  if redis.call('HINCRBY', K.shares, node, -1) <= 0 then
    redis.call('HDEL', K.shares, node)
  end
  redis.call('HDEL', K.idea_owners, id)
  return 1
end
