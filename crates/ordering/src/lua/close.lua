-- Closes a sale for one rebuild: while `closed` stands every script answers fenced. Run by EVAL, never loaded.
-- KEYS  1 stock
-- ARGV  1 the rebuild's number
-- Reply {'closed', epoch or nil} · {'refused', number of the newer rebuild that holds it}

local held_by = tonumber(redis.call('HGET', KEYS[1], 'closed') or '0')
if held_by > tonumber(ARGV[1]) then return {'refused', held_by} end
redis.call('HSET', KEYS[1], 'closed', ARGV[1])
return {'closed', redis.call('HGET', KEYS[1], 'epoch')}
