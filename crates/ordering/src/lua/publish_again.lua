-- Marks overdue reservations as published again, so that none of them can be withdrawn any more, and hands out their messages.
-- KEYS  1 stock · 2 pending · 3… res of each gid, at most 200
-- ARGV  1 epoch · 2 ms until they are looked at again · 3… gids, in the order of KEYS
-- Reply {'messages', message or nil where it is settled by now, …} · {'fenced'}
-- A pending gid without its record has lost it: nothing could ever give its units back, so the sale is rebuilt.

local stock, pending = KEYS[1], KEYS[2]
if not open_sale_at(stock, ARGV[1]) then return {'fenced'} end
local messages, marked, over = {'messages'}, {}, {}
for i = 3, #KEYS do
  local gid = ARGV[i]
  local stored = redis.call('HMGET', KEYS[i], 'state', 'message')
  messages[i - 1] = false
  if stored[1] == 'reserved' or stored[1] == 'prepared' then
    messages[i - 1] = stored[2]
    marked[#marked + 1] = i
  elseif redis.call('ZSCORE', pending, gid) then
    if not stored[1] then return suspect(stock) end
    over[#over + 1] = gid
  end
end
local at = now_ms() + tonumber(ARGV[2])
for _, i in ipairs(marked) do
  redis.call('HSET', KEYS[i], 'republished', 1)
  redis.call('ZADD', pending, 'XX', at, ARGV[i])
end
if #over > 0 then redis.call('ZREM', pending, unpack(over)) end
return messages
