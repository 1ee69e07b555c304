-- Reads one reservation. A script and not a plain read, so that a fenced sale never answers "there is none".
-- KEYS  1 stock · 2 res of the gid
-- ARGV  1 epoch
-- Reply {'none'} · {'found', state, order id, user, units, message (only while reserved or prepared)} · {'fenced'}

if not open_sale_at(KEYS[1], ARGV[1]) then return {'fenced'} end
local f = redis.call('HMGET', KEYS[2], 'state', 'order', 'user', 'units', 'message')
if not f[1] then return {'none'} end
return {'found', f[1], f[2], f[3], f[4], f[5]}
