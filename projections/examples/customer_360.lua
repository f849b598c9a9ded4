-- customer_360: all that is known of a customer, from the customer's own events, orders and tickets.
-- Only the first event of an order or ticket says whose it is; `carry` keeps that for the later ones.
name "customer_360"
version (1)
carry {
    customer = {
        CustomerRegistered = "stream",
        OrderPlaced = "customer_id text",
        TicketOpened = "opened_by.id text",
    },
}
key "carried.customer text"
columns {
    "email text", "orders int", "spent decimal(2)", "open_tickets int", "last_contact_at time",
}

-- The streams come from three systems, whose events need not be imported in the order of their times.
local function contact(row, e)
    if not row.last_contact_at or e.time and e.time > row.last_contact_at then
        row.last_contact_at = e.time
    end
end

local function set_email(row, e)
    row.email = e.email
    contact(row, e)
end
on ("CustomerRegistered", { "email text" }, set_email)
on ("EmailChanged", { "email text" }, set_email)

on ("OrderPlaced", {}, function (row, e)
    row.orders = row.orders + 1
    contact(row, e)
end)
on ("OrderPaid", { "amount decimal(2)" }, function (row, e) row.spent = row.spent + e.amount end)
on ("OrderRefunded", { "amount decimal(2)" }, function (row, e) row.spent = row.spent - e.amount end)

on ("TicketOpened", {}, function (row, e)
    row.open_tickets = row.open_tickets + 1
    contact(row, e)
end)
on ("TicketClosed", {}, function (row, e) row.open_tickets = row.open_tickets - 1 end)
