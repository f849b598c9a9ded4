-- account_activity: what went in and out of each account, and its balance as the bank gives it with
-- every event. The same as account_activity.c.
name "account_activity"
version (1)
key "stream"
columns {
    "transactions int", "credited decimal(2)", "debited decimal(2)", "balance decimal(2)",
    "lowest decimal(2)", "highest decimal(2)", "first_at time", "last_at time",
}

local fields = { "amount decimal(2)", "balance decimal(2)" }

local function note(row, e)
    if row.transactions == 0 then
        row.lowest, row.highest, row.first_at = e.balance, e.balance, e.time
    end
    row.transactions = row.transactions + 1
    row.balance, row.last_at = e.balance, e.time
    row.lowest = math.min(row.lowest, e.balance)
    row.highest = math.max(row.highest, e.balance)
end

local function credit(row, e)
    row.credited = row.credited + e.amount
    note(row, e)
end

local function debit(row, e)
    row.debited = row.debited + e.amount
    note(row, e)
end

on ("CashDeposited", fields, credit)
on ("TransferReceived", fields, credit)
on ("InterestCredited", fields, credit)
on ("CashWithdrawn", fields, debit)
on ("TransferSent", fields, debit)
on ("CardWithdrawn", fields, debit)
