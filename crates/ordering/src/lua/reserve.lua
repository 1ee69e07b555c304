-- Reserves units for one order, or says why not. Repeats are recognised by gid and by the buyer's key.
-- KEYS  1 stock · 2 buyers · 3 pending · 4 res of the gid · 5 key of (user, idempotency key), left out when the buyer sent none
-- ARGV  1 epoch · 2 gid · 3 order id · 4 user · 5 units · 6 '1' when the window is checked, else '0'
--       7 what the names of res records begin with · 8 message to publish · 9 body hash, with KEYS[5] only
-- Reply {'reserved'} · {'known', order id, state or 'gone', message} (message only while still reserved; then marked as republished)
--       {'idempotency_conflict'} · {'not_open'} · {'already_ordered', order id} · {'limit_exceeded'} · {'busy'} · {'sold_out'}
--       {'insufficient_stock', available} · {'fenced'}
-- The only script that Redis refuses when its memory is full: everything else must be able to finish what was begun.

local LOOK_AGAIN_MS = 10000 -- then a reservation nobody settled is overdue

local stock, buyers, pending, record, key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local gid, order, user, units = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

local sale = open_sale_at(stock, ARGV[1])
if not sale then return {'fenced'} end

local function known(of, its_order)
  local stored = redis.call('HMGET', of, 'state', 'message')
  if stored[1] ~= 'reserved' then return {'known', its_order, stored[1] or 'gone'} end
  redis.call('HSET', of, 'republished', 1)
  return {'known', its_order, 'reserved', stored[2]}
end

local stored_order = redis.call('HGET', record, 'order')
if stored_order then return known(record, stored_order) end
local stored_key = key and redis.call('GET', key)
if stored_key then
  local bar = string.find(stored_key, '|', 1, true)
  if string.sub(stored_key, bar + 1) ~= ARGV[9] then return {'idempotency_conflict'} end
  local first = string.sub(stored_key, 1, bar - 1)
  return known(ARGV[7] .. first, first) -- a buyer's own request: its gid is its order id
end

local rules = redis.call('HMGET', stock, 'state', 'starts_at', 'ends_at', 'per_user_limit', 'held_max')
local now = now_ms()
if rules[1] ~= 'open' then return {'not_open'} end
if ARGV[6] == '1' and (now < tonumber(rules[2]) or now >= tonumber(rules[3])) then return {'not_open'} end

local users = {}
local buyer = buyer_of(users, buyers, user)
local limit = tonumber(rules[4])
if buyer.units >= limit then return {'already_ordered', buyer.order} end
if buyer.units + units > limit then return {'limit_exceeded'} end
if sale.held >= tonumber(rules[5]) then return {'busy'} end
if sale.available == 0 then return {'sold_out'} end
if sale.available < units then return {'insufficient_stock', sale.available} end

sale.available = sale.available - units
sale.held = sale.held + units
buyer.units = buyer.units + units
buyer.order = order
redis.call('HSET', record, 'state', 'reserved', 'order', order, 'user', user, 'units', units, 'message', ARGV[8])
redis.call('ZADD', pending, now + LOOK_AGAIN_MS, gid)
if key then redis.call('SET', key, order .. '|' .. ARGV[9], 'EX', FINAL_S) end
write_buyers(users, buyers)
write_sale(stock, sale)
return {'reserved'}
