-- Lists reservations whose next look is due by Redis' clock, the oldest first.
-- KEYS  1 stock · 2 pending
-- ARGV  1 epoch · 2 offset · 3 at most so many
-- Reply {'overdue', gid, …} · {'fenced'}

if not open_sale_at(KEYS[1], ARGV[1]) then return {'fenced'} end
local gids = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now_ms(), 'LIMIT', ARGV[2], ARGV[3])
return {'overdue', unpack(gids)}
