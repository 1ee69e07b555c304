-- Applies decisions to commit: held units become sold.
-- KEYS  1 stock · 2 buyers · 3 pending · 4… res of each gid, at most 200
-- ARGV  1 epoch of the decisions · then per gid: gid, order id, user, units
-- Reply {'done'} (also when the sale was rebuilt since: the rebuild counted them) · {'fenced'}

return complete(function(sale, record, buyer)
  if record.state == 'confirmed' or record.state == 'returned' then return nil end
  if record.state == 'reserved' or record.state == 'prepared' then
    sale.held = sale.held - record.units
  else
    -- Missing, or given back on lost news: MySQL has decided, so it is sold from what is there, and owed where nothing is.
    take(sale, record.units)
    local of = buyer()
    of.units = of.units + record.units
    if record.order > of.order then of.order = record.order end
  end
  sale.sold = sale.sold + record.units
  return 'confirmed'
end)
