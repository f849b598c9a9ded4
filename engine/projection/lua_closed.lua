-- The closed world of a Lua projection: the functions that it may call, and how its source is made
-- safe to run.
--
-- A projection sees pure functions only. Tables that belong to us, and those of its own that its
-- handlers refer to once it is loaded, are seen through a userdata that can be read and not
-- written. Its source gets a call of the tick at the head of each loop and function and before each
-- goto, so that one that never ends can be stopped: hooks do not fire in compiled code. The tick's
-- name is a byte that no text has, so nobody can take or shadow it. Lengths are taken by a function of ours.
--
-- Each of these files is a chunk that gets the table `refold` and adds to it.
local refold = ...

local ffi = refold.ffi
local raw_type, raw_tostring, raw_next, raw_error = type, tostring, next, error
local select, tonumber, unpack, rawequal = select, tonumber, unpack, rawequal
local setmetatable, getmetatable, newproxy = setmetatable, getmetatable, newproxy
local find, match, sub, byte, raw_format = string.find, string.match, string.sub, string.byte,
    string.format
local concat, insert, sort = table.concat, table.insert, table.sort
local istype = ffi.istype
local int64, uint64 = ffi.typeof("int64_t"), ffi.typeof("uint64_t")

-- Ends what runs. Where it happened is found by the handler of errors.
local function fail(...)
    raw_error(raw_format(...), 0)
end
refold.fail = fail

local function is_integer(value)
    return raw_type(value) == "cdata" and (istype(int64, value) or istype(uint64, value))
end
refold.is_integer = is_integer

---- what can be read and not written ----

local frozen = setmetatable({}, { __mode = "k" }) -- of a userdata: the table that it shows
local shown = {} -- of a table: its userdata

local function refuse_write(_, name)
    fail("a table from outside the handler cannot be changed (member `%s`)", raw_tostring(name))
end

local freeze

local function freeze_table(value)
    local inner, proxy = {}, newproxy(true)
    local meta = getmetatable(proxy)
    shown[value] = proxy
    frozen[proxy] = inner
    for name, member in raw_next, value do
        inner[name] = freeze(member)
    end
    meta.__index = inner
    meta.__newindex = refuse_write
    meta.__len = function() return #inner end
    return proxy
end

function freeze(value)
    if raw_type(value) ~= "table" then
        return value
    end
    return shown[value] or freeze_table(value)
end
refold.freeze = freeze

-- The table behind what is called one.
local function thaw(value)
    return raw_type(value) == "userdata" and frozen[value] or value
end

refold.thaw = thaw

---- Lua's own functions, made deterministic ----

local function type_of(value)
    local kind = raw_type(value)
    if kind == "userdata" then
        return "table"
    end
    if kind == "cdata" then
        return is_integer(value) and "number" or "row or event"
    end
    return kind
end
refold.type_of = type_of

local function type_of_value(value)
    local kind = type_of(value)
    return kind == "row or event" and "userdata" or kind
end

local function tostring_of(value)
    local kind = raw_type(value)
    if kind == "cdata" and is_integer(value) then
        return (raw_format("%s", raw_tostring(value)):gsub("U?LL$", ""))
    elseif kind == "string" or kind == "number" or kind == "boolean" or kind == "nil" then
        return raw_tostring(value)
    end
    fail("a %s has no text", type_of(value))
end

local checked_formats = {}

local function check_format(form)
    if raw_type(form) ~= "string" then
        fail("the first argument of format is a %s and not a text", type_of(form))
    end
    if find(form:gsub("%%%%", ""), "%%[-+ #0]*%d*%.?%d*p") then
        fail("%%p is not available: addresses differ from run to run")
    end
    checked_formats[form] = true
end

local function format(form, ...)
    if not checked_formats[form] then
        check_format(form)
    end
    for i = 1, select("#", ...) do
        local kind = raw_type((select(i, ...)))
        if kind ~= "number" and kind ~= "string" and kind ~= "boolean" and kind ~= "nil" and
            not is_integer((select(i, ...))) then
            fail("a %s has no text", type_of((select(i, ...))))
        end
    end
    return raw_format(form, ...)
end

local ranks = { boolean = 1, number = 2, string = 3 }

-- The order of keys: false, true, numbers, texts by their bytes.
local function key_before(a, b)
    local kind_a, kind_b = raw_type(a), raw_type(b)
    if kind_a ~= kind_b then
        return ranks[kind_a] < ranks[kind_b]
    elseif kind_a == "boolean" then
        return not a and b
    end
    return a < b
end

local function check_key(key)
    if not ranks[raw_type(key)] then
        fail("a table with a %s as key has no order", type_of(key))
    end
end

local function table_of(value, name)
    local inner = thaw(value)
    if raw_type(inner) ~= "table" then
        fail("%s of a %s; it takes a table", name, type_of(value))
    end
    return inner
end

-- In the order of the table. They go into a list before they are compared: in compiled code LuaJIT
-- of 2022 may load what `next` gave only where it is compared, after a later step has overwritten it.
local function keys_of(inner)
    local keys = {}
    for key in raw_next, inner do
        check_key(key)
        keys[#keys + 1] = key
    end
    return keys
end

local function next_in_order(of, after)
    local inner = table_of(of, "next")
    local keys, best = keys_of(inner), nil
    for i = 1, #keys do
        local key = keys[i]
        if (after == nil or key_before(after, key)) and (best == nil or key_before(key, best)) then
            best = key
        end
    end
    if best ~= nil then
        return best, inner[best]
    end
end

local function walk(state)
    local keys, inner = state.keys, state.inner
    for at = state.at, #keys do
        local value = inner[keys[at]]
        if value ~= nil then
            state.at = at + 1
            return keys[at], value
        end
    end
end

local function pairs_in_order(of)
    local inner = table_of(of, "pairs")
    local keys = keys_of(inner)
    sort(keys, key_before)
    return walk, { keys = keys, inner = inner, at = 1 }
end

local function raw_ipairs_step(inner, at)
    local value = inner[at + 1]
    if value ~= nil then
        return at + 1, value
    end
end

local function ipairs_of(of)
    return raw_ipairs_step, table_of(of, "ipairs"), 0
end

local function unpack_of(of, ...)
    return unpack(table_of(of, "unpack"), ...)
end

local function copy_of(from, names)
    local to = {}
    for name in names:gmatch("%w+") do
        to[name] = from[name]
    end
    return to
end

local closed_string = copy_of(string, "byte char len lower reverse sub upper")
local raw_rep = string.rep

-- LuaJIT takes the lower 32 bits of the count.
function closed_string.rep(text, count)
    if raw_type(count) == "number" and count >= 0x1p31 then
        fail("rep: %.17g times is too often", count)
    end
    return raw_rep(text, count)
end
closed_string.format = format
refold.closed_string = closed_string -- lua_text.lua adds what has patterns

local closed_math = copy_of(math, "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp " ..
    "huge ldexp log log10 max min modf pi pow rad sin sinh sqrt tan tanh")
closed_math.mod = math.fmod

---- lengths ----

-- LuaJIT from 2020 to 2022 (Debian 12 has one) compiles a length that was asked before as what it was, also where
-- the table got an element meanwhile by another way to it: row.l is one each time. That any table may have been
-- cleared makes it ask again.
local clear, cleared = require("table.clear"), {}
local function ask_again()
    clear(cleared)
end

local measured = { table = true, string = true, userdata = true, cdata = true }

-- What `#value` is made in a projection's source; see with_ticks.
local function length_of(_, value)
    if not measured[raw_type(value)] then
        fail("attempt to get length of a %s value", raw_type(value))
    end
    ask_again()
    return #value
end

local raw_remove = table.remove
local closed_table = { sort = sort, maxn = table.maxn }
function closed_table.insert(...)
    ask_again()
    return insert(...)
end
function closed_table.remove(...)
    ask_again()
    return raw_remove(...)
end
function closed_table.concat(of, ...)
    ask_again()
    return concat(table_of(of, "concat"), ...)
end
refold.ask_again = ask_again

local raw_tonumber = tonumber

local function tonumber_of(value, base)
    if base == nil then
        return raw_tonumber(value)
    end
    return raw_tonumber(value, base)
end

local env = {
    assert = assert, error = raw_error, ipairs = ipairs_of, math = freeze(closed_math),
    next = next_in_order, pairs = pairs_in_order, select = select, table = freeze(closed_table), tonumber = tonumber_of, tostring = tostring_of, type = type_of_value,
    unpack = unpack_of,
}
refold.env = env

---- a source made stoppable ----

-- `#x` becomes LENGTH^x, which takes the same operand: ^ alone binds as tightly on its right.
local TICK, COPY, LENGTH = "\255", "\254", "\253"
env[TICK] = refold.tick
env[LENGTH] = ffi.new(ffi.metatype(ffi.typeof("struct {}"), { __pow = length_of }))
refold.tick_name, refold.copy_name = TICK, COPY
env[COPY] = function(row, to, e, from)
    if raw_type(row) == "cdata" and raw_type(e) == "cdata" then
        row[to] = e(from)
    else
        row[to] = e[from]
    end
end

local function long_bracket_end(source, at)
    local _, open, level = find(source, "^%[(=*)%[", at)
    if not open then
        return nil
    end
    local _, close = find(source, "]" .. level .. "]", open + 1, true)
    return close or #source
end

-- The end of the quoted text that begins at `at`.
local function quote_end(source, at)
    local quote = sub(source, at, at)
    local i = at + 1
    while i <= #source do
        local c = sub(source, i, i)
        if c == "\\" then
            i = i + 1
        elseif c == quote then
            return i
        end
        i = i + 1
    end
    return #source
end

-- The end of the comment, text, number, name or sign at `at`, and what kind it is.
local function token(source, at)
    local c = sub(source, at, at)
    local _, stop
    if sub(source, at, at + 1) == "--" then
        stop = long_bracket_end(source, at + 2)
        if not stop then
            _, stop = find(source, "^[^\n]*", at)
        end
        return stop, "comment"
    elseif c == "[" then
        stop = long_bracket_end(source, at)
        return stop or at, stop and "text" or "sign"
    elseif c == '"' or c == "'" then
        return quote_end(source, at), "text"
    end
    _, stop = find(source, "^[%a_\128-\255][%w_\128-\255]*", at)
    if stop then
        return stop, "name"
    end
    _, stop = find(source, "^%.?%d[%w%.]*", at)
    if stop then
        return stop, "number"
    end
    _, stop = find(source, "^%.+", at)
    if not stop then
        _, stop = find(source, "^::", at)
    end
    return stop or at, "sign"
end

-- After these a value goes on: what stands before them is no whole expression.
local goes_on = { ["and"] = true, ["or"] = true }

-- "row.a = e.b" as a statement of its own: where it ends, and the names of both. Such a copy needs no
-- text made of it (lua_drive.lua). Where the words stand for something else it is done all the same.
local function copy_at(source, at, before)
    if before == "," or before == "." or before == ":" then
        return nil
    end
    local _, stop, to, from =
        find(source, "^row%.([%a_][%w_]*)[ \t]*=[ \t]*e%.([%a_][%w_]*)", at)
    if not stop then
        return nil
    end
    local word = match(source, "^[ \t]+([%a_][%w_]*)", stop + 1) or
        match(source, "^[ \t]*\r?\n[ \t\r\n]*([%a_][%w_]*)", stop + 1)
    if word and not goes_on[word] or not word and find(source, "^[ \t]*;", stop + 1) then
        return stop, to, from
    end
end

-- The same source with a call of the tick wherever it could go round, and lengths made ours. Lines stay where they are.
function refold.with_ticks(source)
    local parts, at, from = {}, 1, 1
    local before, in_head = "", false
    local function put(stop)
        insert(parts, sub(source, from, stop))
        insert(parts, " " .. TICK .. "(); ")
        from = stop + 1
    end
    while true do
        at = find(source, "%S", at)
        if not at then
            break
        end
        local stop, kind = token(source, at)
        local text = sub(source, at, stop)
        local copy_end, to_name, from_name = nil, nil, nil
        if text == "row" then
            copy_end, to_name, from_name = copy_at(source, at, before)
        end
        if copy_end then
            insert(parts, sub(source, from, at - 1))
            insert(parts, COPY .. "(row, \"" .. to_name .. "\", e, \"" .. from_name .. "\")")
            stop, from = copy_end, copy_end + 1
        elseif kind == "name" then
            if text == "do" or text == "repeat" then
                put(stop)
            elseif text == "function" then
                in_head = true
            elseif text == "goto" and before ~= "." and before ~= ":" and
                find(source, "^%s+[%a_]", stop + 1) then
                put(at - 1)
            end
        elseif text == "#" then
            insert(parts, sub(source, from, at - 1))
            insert(parts, " " .. LENGTH .. "^")
            from = stop + 1
        elseif in_head and text == ")" then
            put(stop)
            in_head = false
        end
        if kind ~= "comment" then
            before = text
        end
        at = stop + 1
    end
    insert(parts, sub(source, from))
    return concat(parts)
end
