-- authors: how many commits each author of a repository has made. Streams are files, and a commit
-- touches many of them; it is counted once, when it differs from the author's commit before. The
-- same as authors.c.
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
