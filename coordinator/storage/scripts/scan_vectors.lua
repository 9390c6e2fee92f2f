-- scan_vectors(start, count) -> entries of the list, each after 4 bytes of its length, as one text (see scan)
--
-- FLAGS: no-writes
-- KEYS: vectors
-- ARGV: 1 place of the first one  2 how many

local parts = {}
for _, entry in ipairs(redis.call('LRANGE', K.vectors, ARGV[1], ARGV[1] + ARGV[2] - 1)) do
  parts[#parts + 1] = struct.pack('>I4', #entry)
  parts[#parts + 1] = entry
end
return table.concat(parts)
