-- Applies decisions that take a sale back (cancelled, refunded): sold units and the buyer's units are given back.
-- KEYS  1 stock · 2 buyers · 3 pending · 4… res of each gid, at most 200
-- ARGV  1 epoch of the decisions · then per gid: gid, order id, user, units
-- Reply {'done'} (also when the sale was rebuilt since: the rebuild counted them) · {'fenced'}

return complete(function(sale, record, buyer)
  if record.state == 'returned' or record.state == 'released' then return nil end
  if record.state == 'reserved' or record.state == 'prepared' then
    sale.held = sale.held - record.units -- its confirm never came: only held units can be given back
  else
    sale.sold = sale.sold - record.units
  end
  give_back(sale, record.units)
  local of = buyer()
  of.units = of.units - record.units
  return 'returned'
end)
