-- Has a sale made anew from MySQL: until then every script refuses it.
-- KEYS[1] the sale's hash. A hash that is missing is made anew without being asked.
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'suspect', 1)
end
return 0
