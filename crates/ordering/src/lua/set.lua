-- Brings a sale's terms to Redis after MySQL has them. Growth pays what is owed first; what a smaller total lacks is owed.
-- KEYS  1 stock
-- ARGV  1 epoch in MySQL · 2 '1' when a missing hash is made (the creating request only), else '0' · 3 revision · 4 total, units
--       5 per_user_limit, units · 6 starts_at, ms since 1970 · 7 ends_at, ms since 1970 · 8 state · 9 held_max, units
-- Reply {'created'} · {'set'} · {'known'} (the hash has this revision or a newer one) · {'fenced'}

local stock, epoch, revision, total = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])

local function write(sale)
  redis.call('HSET', stock, 'epoch', sale.epoch, 'revision', revision, 'total', total, 'available', sale.available,
    'held', sale.held, 'sold', sale.sold, 'owed', sale.owed, 'per_user_limit', ARGV[5], 'starts_at', ARGV[6],
    'ends_at', ARGV[7], 'state', ARGV[8], 'held_max', ARGV[9])
end

if redis.call('EXISTS', stock) == 0 then
  if ARGV[2] ~= '1' then return {'fenced'} end
  write({ epoch = epoch, available = total, held = 0, sold = 0, owed = 0 })
  return {'created'}
end
local sale = open_sale(stock)
if not sale or epoch > sale.epoch then return {'fenced'} end
local now = redis.call('HMGET', stock, 'revision', 'total')
if revision <= tonumber(now[1]) then return {'known'} end
local growth = total - tonumber(now[2])
if growth >= 0 then give_back(sale, growth) else take(sale, -growth) end
write(sale)
return {'set'}
