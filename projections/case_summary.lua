-- case_summary: for each stream, how many events it has, the first and the last of them, and when
-- they were. It works for any log. The same as case_summary.c.
name "case_summary"
version (1)
key "stream"
columns { "events int", "first text", "last text", "started_at time", "ended_at time" }

on ("*", function (row, e)
    if not row.exists then
        row.first, row.started_at = e.type, e.time
    end
    row.events = row.events + 1
    row.last, row.ended_at = e.type, e.time
end)
