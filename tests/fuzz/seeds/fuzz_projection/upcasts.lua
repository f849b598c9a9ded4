name "p" version (1) columns { "customer text", "items int", "total decimal(2)", "tags json", "lines list(sku text, qty int)" }
rename ("ItemPut", "ItemAdded")
schemas ("OrderPlaced", 1)
upcast ("ItemAdded", 1, { "unit_price decimal(2)" }, function (e) e.price = e.unit_price e.sku = "none" end)
upcast ("ItemAdded", 2, { "sku text" }, function (e) e.sku = string.upper(e.sku) end)
on ("OrderPlaced", { "customer text" }, function (row, e) row.customer = e.customer end)
on ("ItemAdded", { "qty int", "price decimal(2)", "sku text?", "tags json?" }, function (row, e)
  row.items = row.items + e.qty
  row.total = row.total + e.price * e.qty
  row.tags = e.tags
  row.lines[#row.lines + 1] = { sku = e.sku, qty = e.qty }
end)
on ("OrderCancelled", {}, function (row, e) row:delete() end)
