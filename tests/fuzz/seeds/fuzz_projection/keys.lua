name "k" version (1)
key { "sku text" } no_key "ignore"
columns { "n int", "total decimal(2)", "last text" }
carry { customer = { OrderPlaced = "customer text" } }
on ("ItemAdded", { "qty int", "price decimal(2)?" }, function (row, e)
  row.n = row.n + 1
  row.total = row.total + e.qty * e.price
  if e.carried.customer then row.last = e.carried.customer end
end)
