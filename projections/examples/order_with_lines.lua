-- order_with_lines: one row an order with its lines as a list, so that an order's page is one read.
name "order_with_lines"
version (1)
columns {
    "customer text", "status text", "placed_at time", "total decimal(2)",
    "lines list(sku text, qty int, price decimal(2))",
}

-- Where the article stands in the order, and its line; nothing if it is not in it.
local function find_line(lines, sku)
    for i, line in ipairs(lines) do
        if line.sku == sku then return i, line end
    end
end

on ("OrderPlaced", { "customer text" }, function (row, e)
    row.customer, row.status, row.placed_at = e.customer, "placed", e.time
end)

-- An article that is added again makes its line longer, at the price of now.
on ("ItemAdded", { "sku text", "qty int", "price decimal(2)" }, function (row, e)
    local _, line = find_line(row.lines, e.sku)
    if line then
        row.total = row.total - line.qty * line.price
        line.qty, line.price = line.qty + e.qty, e.price
    else
        line = { sku = e.sku, qty = e.qty, price = e.price }
        table.insert(row.lines, line)
    end
    row.total = row.total + line.qty * line.price
end)

on ("ItemRemoved", { "sku text" }, function (row, e)
    local at, line = find_line(row.lines, e.sku)
    if line then
        row.total = row.total - line.qty * line.price
        table.remove(row.lines, at)
    end
end)

on ("OrderShipped", {}, function (row, e) row.status = "shipped" end)
on ("OrderCancelled", {}, function (row, e) row:delete() end)
