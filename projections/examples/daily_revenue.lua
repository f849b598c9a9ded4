-- daily_revenue: revenue by day and country, the day being the country's own: an order of 23:30 UTC
-- is tomorrow's in Berlin. A correction may come weeks later and counts for the day of the sale.
name "daily_revenue"
version (1)
key { "day date", "country text" }
columns { "revenue decimal(2)", "sales int", "corrections int", "last_correction_at time" }

-- Sums and counts do not depend on the order of events; saying so makes a rebuild faster.
combine { revenue = "sum", sales = "count", corrections = "count", last_correction_at = "max" }

local zones = {
    DE = "Europe/Berlin", GB = "Europe/London", IN = "Asia/Kolkata", US = "America/New_York",
}

local function local_day(time, country)
    return date(time, zones[country] or "UTC"), country
end

on ("SaleMade", { "amount decimal(2)" },
    by ({ "country text" }, function (e) return local_day(e.time, e.country) end),
    function (row, e)
        row.revenue = row.revenue + e.amount
        row.sales = row.sales + 1
    end)

on ("SaleCorrected", { "difference decimal(2)" },
    by ({ "country text", "sold_at time" }, function (e) return local_day(e.sold_at, e.country) end),
    function (row, e)
        row.revenue = row.revenue + e.difference
        row.corrections = row.corrections + 1
        row.last_correction_at = e.time
    end)
