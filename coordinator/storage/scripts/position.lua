-- position() -> {epoch, last stream id, live claims}
--
-- USES: clock
-- FLAGS: no-writes
-- KEYS: meta stream expiry

peek()
return {epoch, last_id(), redis.call('ZCOUNT', K.expiry, '(' .. whole(now), '+inf')}
