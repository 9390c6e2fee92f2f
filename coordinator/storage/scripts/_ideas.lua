-- The queue. Uses K.ideas (hash: packed id -> idea), K.queue (zset: packed id by order of arrival),
-- K.shares (hash: node -> how many of its ideas wait). An idea starts with a length byte and its node.

local function remove_idea(id)
  local idea = redis.call('HGET', K.ideas, id)
  if not idea then
    return 0
  end
  local node = string.sub(idea, 2, string.byte(idea) + 1)
  redis.call('HDEL', K.ideas, id)
  redis.call('ZREM', K.queue, id)
  if redis.call('HINCRBY', K.shares, node, -1) <= 0 then
    redis.call('HDEL', K.shares, node)
  end
  return 1
end
