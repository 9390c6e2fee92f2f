-- update_class(class, seen, update) -> {'done'} | {'stale', version, state}
--
-- USES: clock states classes
-- KEYS: meta states stream classes confirmed history global ghistory made credit
-- ARGV: 1 JSON {class, seen, update}; then what apply_update reads
--
-- Race closed: an update that was decided from a state which a result has changed meanwhile.

local ask = cjson.decode(ARGV[1])
begin()
if class_version(ask.class) ~= ask.seen then
  return stale(ask.class)
end
apply_update(ask.class, ask.update, 2)
redis.call('HSET', K.meta, 'now', whole(now))
return {'done'}
