-- Asks whether reservations can still be settled either way.
-- KEYS  1 stock · 2… res of each gid, at most 200
-- ARGV  1 epoch
-- Reply {'votes', 1 (yes) or 0 (no), …} in the order of KEYS · {'fenced'}
-- A missing record is a yes and writes nothing: MySQL decides, Redis only admits.

if not open_sale_at(KEYS[1], ARGV[1]) then return {'fenced'} end
local votes, reserved = {'votes'}, {}
for i = 2, #KEYS do
  local state = redis.call('HGET', KEYS[i], 'state')
  if state == 'reserved' then reserved[#reserved + 1] = KEYS[i] end
  votes[i] = state == 'released' and 0 or 1
end
for _, record in ipairs(reserved) do redis.call('HSET', record, 'state', 'prepared') end
return votes
