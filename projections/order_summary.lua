-- order_summary: one row an order: whose it is, how it stands, what is in it and what that costs. The
-- same as order_summary.c.
name "order_summary"
version (1)
key "stream"
columns {
    "customer text", "status text", "items int", "total int", "placed_at time", "last_at time",
    "events int",
}

local function step(row, e)
    if row.events == 0 then
        row.placed_at = e.time
    end
    row.status = e.type
    row.last_at = e.time
    row.events = row.events + 1
end

on ("OrderPlaced", { "customer text" }, function (row, e)
    row.customer = e.customer
    step(row, e)
end)
on ("ItemAdded", { "qty int", "price int" }, function (row, e)
    row.total = row.total + e.qty * e.price
    row.items = row.items + e.qty
    step(row, e)
end)
on ("ItemRemoved", { "qty int", "price int" }, function (row, e)
    row.total = row.total - e.qty * e.price
    row.items = row.items - e.qty
    step(row, e)
end)
on ("OrderPaid", step)
on ("OrderShipped", step)
on ("OrderCancelled", step)
