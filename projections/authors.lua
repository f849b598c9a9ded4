-- authors: how many commits each author of a repository has made. A commit touches many files,
-- which are streams, one after another. The same as authors.c.
name "authors"
version (1)
key "author text"
columns { "commits int", "last_commit text" }

on ("*", { "commit text" }, function (row, e)
    if e.commit ~= row.last_commit then
        row.commits = row.commits + 1
        row.last_commit = e.commit
    end
end)
