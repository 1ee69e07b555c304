-- Takes back a reservation whose message surely was not published, with the buyer's key: as if it had never been asked for.
-- KEYS  1 stock · 2 buyers · 3 pending · 4 res of the gid · 5 key of (user, idempotency key), left out when the buyer sent none
-- ARGV  1 epoch · 2 gid
-- Reply {'released'} · {'published_again'} (a repeat or the scan published it meanwhile: it lives on) · {'nothing'} · {'fenced'}

local stock, buyers, pending, record, key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local sale = open_sale_at(stock, ARGV[1])
if not sale then return {'fenced'} end
local stored = redis.call('HMGET', record, 'state', 'user', 'units', 'republished', 'order')
if not stored[1] or stored[1] == 'released' then return {'nothing'} end
if stored[1] ~= 'reserved' or stored[4] then return {'published_again'} end

local users = {}
local units = tonumber(stored[3])
local buyer = buyer_of(users, buyers, stored[2])
sale.held = sale.held - units
buyer.units = buyer.units - units
give_back(sale, units)
if lost_data(sale, users) then return suspect(stock) end

redis.call('HSET', record, 'state', 'released')
redis.call('HDEL', record, 'message')
redis.call('EXPIRE', record, FINAL_S)
redis.call('ZREM', pending, ARGV[2])
local stored_key = key and redis.call('GET', key)
if stored_key and string.sub(stored_key, 1, #stored[5] + 1) == stored[5] .. '|' then redis.call('DEL', key) end
write_buyers(users, buyers)
write_sale(stock, sale)
return {'released'}
