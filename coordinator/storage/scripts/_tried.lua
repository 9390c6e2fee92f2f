-- What was tried, in buckets (hashes): the bytes of an edit key -> a length byte, the packed experiment, and for
-- a run out of memory the memory it had.

-- Keeps that the experiment tried `count` keys: the bucket of key i is KEYS[tried_at + i], its bytes are
-- ARGV[bytes_at + i]. The widest block stays, and of two alike the first.
local function keep_tried(id, count, memory_mb, tried_at, bytes_at)
  for i = 1, count do
    local bucket, field = KEYS[tried_at + i], ARGV[bytes_at + i]
    local tried = redis.call('HGET', bucket, field)
    local limit = tried and string.sub(tried, string.byte(tried) + 2)
    if not tried or (limit ~= '' and (memory_mb == '' or tonumber(memory_mb) > tonumber(limit))) then
      redis.call('HSET', bucket, field, string.char(#id) .. id .. memory_mb)
    end
  end
end
