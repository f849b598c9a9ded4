-- balance: what each account holds of each currency, and what it has paid in fees. An account is in
-- the events, not in the stream's name, and one event may move money between two currencies.
name "balance"
version (1)
key { "account text", "currency text" }
columns { "balance decimal(2)", "fees decimal(2)", "entries int", "last_at time" }

local function book(row, e, amount, fee)
    row.balance = row.balance + amount - fee
    row.fees = row.fees + fee
    row.entries = row.entries + 1
    row.last_at = e.time
end

-- A rate of 0.0125 is 125 of a decimal(4): `muldiv` takes it of the amount exactly and rounds once,
-- to whole cents.
local function fee_of(amount, rate)
    return muldiv(amount, rate, 10000, "half_up")
end

on ("Deposited", { "amount decimal(2)" }, function (row, e)
    book(row, e, e.amount, 0)
end)
on ("Withdrawn", { "amount decimal(2)", "fee_rate decimal(4)?" }, function (row, e)
    book(row, e, -e.amount, fee_of(e.amount, e.fee_rate))
end)

-- The fee of an exchange is paid in the currency that was sold.
on ("Exchanged", { "sold decimal(2)", "fee_rate decimal(4)" },
    by { "account text", "sold_currency text" }, function (row, e)
        book(row, e, -e.sold, fee_of(e.sold, e.fee_rate))
    end)
on ("Exchanged", { "bought decimal(2)" }, by { "account text", "bought_currency text" },
    function (row, e) book(row, e, e.bought, 0) end)
