-- file_tree: the files of a git repository as its history leaves them: path (the stream) to mode,
-- blob and lines. The same as file_tree.c, which tells about binary files.
name "file_tree"
version (1)
key "stream"
columns { "mode text", "blob text", "lines int", "binary bool" }

local fields = {
    "mode text", "blob text", "old text?", "added int?", "deleted int?", "binary bool?",
}
-- git's name of the empty file, which it lists as binary where the history does.
local empty_blob = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"

local function count_lines(row, e)
    row.lines = row.binary and 0 or row.lines + e.added - e.deleted
end

local function changed(row, e)
    row.mode, row.blob = e.mode, e.blob
    if e.old ~= e.blob then
        row.binary = row.binary or e.binary
        count_lines(row, e)
    end
end

on ("FileAdded", fields, function (row, e)
    row.mode, row.blob, row.lines = e.mode, e.blob, 0
    row.binary = e.binary and e.blob ~= empty_blob
    count_lines(row, e)
end)
on ("FileModified", fields, changed)
on ("FileModeChanged", fields, changed)
on ("FileTypeChanged", fields, changed)
on ("FileDeleted", {}, function (row, e) row:delete() end)
