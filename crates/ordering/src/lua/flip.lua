-- Opens a rebuilt sale at its new epoch, in one step. Run by EVAL, never loaded.
-- KEYS  1 stock
-- ARGV  1 the rebuild's number · 2 the new epoch · then the hash's fields but `epoch`, field and value by turns
-- Reply {'open'} · {'refused'} (another rebuild holds the sale, or it is past this epoch)

if redis.call('HGET', KEYS[1], 'closed') ~= ARGV[1] then return {'refused'} end
if tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') >= tonumber(ARGV[2]) then return {'refused'} end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], unpack(ARGV, 3))
return {'open'}
