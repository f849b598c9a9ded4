-- stock: pieces of each article in each warehouse. A move takes from one row and adds to another:
-- two handlers, each with the key of its own row.
name "stock"
version (1)
key { "warehouse text", "sku text" }
columns { "pieces int", "on_the_way int", "short_since time" }

-- Counted pieces may be fewer than none for a while, when events of two warehouses cross.
local function put(row, e, qty)
    row.pieces = row.pieces + qty
    if row.pieces >= 0 then
        row.short_since = nil
    elseif not row.short_since then
        row.short_since = e.time
    end
end

on ("Received", { "qty int" }, function (row, e) put(row, e, e.qty) end)
on ("Picked", { "qty int" }, function (row, e) put(row, e, -e.qty) end)
on ("Counted", { "pieces int" }, function (row, e) put(row, e, e.pieces - row.pieces) end)

on ("MoveSent", { "qty int" }, by { "from text", "sku text" }, function (row, e)
    put(row, e, -e.qty)
end)
on ("MoveSent", { "qty int" }, by { "to text", "sku text" }, function (row, e)
    row.on_the_way = row.on_the_way + e.qty
end)
on ("MoveArrived", { "qty int" }, by { "to text", "sku text" }, function (row, e)
    row.on_the_way = row.on_the_way - e.qty
    put(row, e, e.qty)
end)
