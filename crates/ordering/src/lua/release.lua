-- Applies decisions to roll back: held units and the buyer's units are given back.
-- KEYS  1 stock · 2 buyers · 3 pending · 4… res of each gid, at most 200
-- ARGV  1 epoch of the decisions · then per gid: gid, order id, user, units
-- Reply {'done'} (also when the sale was rebuilt since: the rebuild counted them) · {'fenced'}

return complete(function(sale, record, buyer)
  if record.state ~= 'reserved' and record.state ~= 'prepared' then return nil end
  sale.held = sale.held - record.units
  give_back(sale, record.units)
  local of = buyer()
  of.units = of.units - record.units
  return 'released'
end)
