-- Shared by every script: `#!lua …` stands before it, one operation after it (stock/scripts.rs joins them).
-- Redis undoes nothing: an operation reads and counts first, and writes only once it knows that nothing is against it.

local FINAL_S = 86400 -- how long a final record, and a buyer's key, can still answer a repeat

-- The sale's numbers, or nil while it is fenced: missing, closed or suspect.
local function open_sale(stock)
  local f = redis.call('HMGET', stock, 'epoch', 'closed', 'suspect', 'available', 'held', 'sold', 'owed')
  if not f[1] or f[2] or f[3] then return nil end
  return {
    epoch = tonumber(f[1]), available = tonumber(f[4]), held = tonumber(f[5]), sold = tonumber(f[6]), owed = tonumber(f[7]),
  }
end

-- The same, and nil also when the caller knows another epoch: its names would be another generation's.
local function open_sale_at(stock, epoch)
  local sale = open_sale(stock)
  if sale and sale.epoch == tonumber(epoch) then return sale end
  return nil
end

local function write_sale(stock, sale)
  redis.call('HSET', stock, 'available', sale.available, 'held', sale.held, 'sold', sale.sold, 'owed', sale.owed)
end

-- Units that become free: what is owed is paid first.
local function give_back(sale, units)
  local paid = math.min(sale.owed, units)
  sale.owed = sale.owed - paid
  sale.available = sale.available + units - paid
end

-- Units that are taken whether or not they are there: what is lacking is owed.
local function take(sale, units)
  local taken = math.min(sale.available, units)
  sale.available = sale.available - taken
  sale.owed = sale.owed + units - taken
end

-- Data was lost: nothing is written but this mark, and the sale waits for its rebuild.
local function suspect(stock)
  redis.call('HSET', stock, 'suspect', 1)
  return {'fenced'}
end

-- One user of `buyers`, read once a script: units (0 when unknown) and the latest order id ('' when unknown).
local function buyer_of(users, buyers, user)
  if not users[user] then
    local field = redis.call('HGET', buyers, user)
    local bar = field and string.find(field, '|', 1, true)
    users[user] = bar and { units = tonumber(string.sub(field, 1, bar - 1)), order = string.sub(field, bar + 1) }
      or { units = 0, order = '' }
  end
  return users[user]
end

local function write_buyers(users, buyers)
  for user, buyer in pairs(users) do
    if buyer.units == 0 then
      redis.call('HDEL', buyers, user)
    else
      redis.call('HSET', buyers, user, buyer.units .. '|' .. buyer.order)
    end
  end
end

local function lost_data(sale, users)
  if sale.available < 0 or sale.held < 0 or sale.sold < 0 or sale.owed < 0 then return true end
  for _, buyer in pairs(users) do
    if buyer.units < 0 then return true end
  end
  return false
end

local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- What confirm, release and return have in common. KEYS, ARGV and replies as those files list them.
-- `settle(sale, record, buyer)` changes the numbers and answers the record's new state, or nil where there is nothing to do;
-- `record` is {state (nil: missing), units, order}, `buyer()` reads the user it belongs to.
local function complete(settle)
  local stock, buyers, pending = KEYS[1], KEYS[2], KEYS[3]
  local sale = open_sale(stock)
  if not sale then return {'fenced'} end
  local epoch = tonumber(ARGV[1])
  if epoch < sale.epoch then return {'done'} end
  if epoch > sale.epoch then return {'fenced'} end

  local users, seen, final, gids = {}, {}, {}, {}
  for i = 4, #KEYS do
    local at = 2 + (i - 4) * 4
    local gid, order, user, units = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
    if not seen[gid] then
      seen[gid] = true
      local stored = redis.call('HMGET', KEYS[i], 'state', 'user', 'units')
      local record = { order = order, user = user, units = units }
      if stored[1] then
        record.state, record.user, record.units = stored[1], stored[2], tonumber(stored[3])
      end
      local state = settle(sale, record, function() return buyer_of(users, buyers, record.user) end)
      if state then
        record.missing = not record.state
        record.state = state
        final[KEYS[i]] = record
        gids[#gids + 1] = gid
      end
    end
  end
  if #gids == 0 then return {'done'} end
  if lost_data(sale, users) then return suspect(stock) end

  for key, record in pairs(final) do
    if record.missing then
      redis.call('HSET', key, 'state', record.state, 'order', record.order, 'user', record.user, 'units', record.units)
    else
      redis.call('HSET', key, 'state', record.state)
      redis.call('HDEL', key, 'message')
    end
    redis.call('EXPIRE', key, FINAL_S)
  end
  redis.call('ZREM', pending, unpack(gids))
  write_buyers(users, buyers)
  write_sale(stock, sale)
  return {'done'}
end
