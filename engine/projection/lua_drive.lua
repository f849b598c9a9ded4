-- Rows and events as handlers see them, the tables that the engine gets, and the loop over calls.
--
-- The row and the event are objects without members of their own that stay the same from call to
-- call; what they show is where the cursor points, which the loop moves. So no call makes anything,
-- and nothing that a handler could do reaches memory. Their functions are written out per
-- definition and handler as a chain of comparisons with names: in compiled code a name is a
-- constant, so the chain costs nothing there.
local refold = ...

local ffi, fail, declared, members = refold.ffi, refold.fail, refold.declared, refold.members
local cursor = refold.cursor
local type, ipairs, tonumber, loadstring, concat = type, ipairs, tonumber, loadstring, table.concat
local band, bxor, rshift = bit.band, bit.bxor, bit.rshift
local cast, text_from = ffi.cast, ffi.string

---- text ----

-- Text that was read, by where it stands, and text that was stored, by the Lua string: both for one
-- step only, in which nothing that rows or events refer to moves.
local SLOTS = 4096
local read_from = ffi.new("refold_text[?]", SLOTS)
local read_text, kept_text = {}, {}
local kept_at = ffi.new("const char *[?]", SLOTS)
for i = 0, SLOTS - 1 do
    read_text[i] = false
    kept_text[i] = false
end

local function slot_of(pointer)
    local at = tonumber(cast("uint32_t", cast("uintptr_t", pointer)))
    return band(bxor(at, rshift(at, 12)), SLOTS - 1)
end

local function text_at(data, size)
    local slot = slot_of(data)
    local from = read_from[slot]
    if from.data == data and from.size == size then
        return read_text[slot]
    end
    local text = text_from(data, size)
    from.data, from.size, read_text[slot] = data, size, text
    local kept = slot_of(cast("const char *", text))
    kept_text[kept], kept_at[kept] = text, data
    return text
end

-- Where the text stands for as long as a row needs it.
local function keep(text)
    local slot = slot_of(cast("const char *", text))
    if kept_text[slot] == text then
        return kept_at[slot]
    end
    local data = refold.keep_text(cursor, text, #text)
    if data == nil then
        fail("out of memory for a text of %d bytes", #text)
    end
    kept_text[slot], kept_at[slot] = text, data
    return data
end

function refold.forget()
    ffi.fill(read_from, ffi.sizeof(read_from))
    for i = 0, SLOTS - 1 do
        kept_text[i] = false
    end
end

---- layouts ----

local c_types = {
    int = "int64_t", decimal = "int64_t", time = "int64_t", date = "int64_t", float = "double",
    bool = "bool", text = "refold_text", json = "refold_text", list = "refold_text",
}

-- A struct with a member a column or field, c1, c2 and so on, and after them the bools that say what
-- an event has.
local function struct_of(list)
    local parts = {}
    for i, item in ipairs(list) do
        parts[#parts + 1] = c_types[item.kind] .. " c" .. i .. ";"
    end
    for i, item in ipairs(list) do
        if item.ask then
            parts[#parts + 1] = "bool h" .. i .. ";"
        end
    end
    if #parts == 0 then
        parts[1] = "int64_t none;"
    end
    return ffi.typeof("struct { " .. concat(parts, " ") .. " }")
end

---- reading and writing members ----

local getters = {
    int = "local v = P.cN if v >= LIMIT or v <= -LIMIT then return v end return tonumber(v)",
    time = "local v = P.cN if v == NONE then return nil end return tonumber(v)",
    float = "return P.cN",
    bool = "return P.cN",
    text = "local v = P.cN.data if v == nil then return nil end return text_at(v, P.cN.size)",
}
getters.decimal, getters.date, getters.json = getters.int, getters.time, getters.text
getters.list = getters.text

local setters = {
    int = "if type(v) ~= 'number' or floor(v) ~= v or v >= 0x1p53 or v <= -0x1p53 then " ..
        "v = whole(v, 'N0') end P.cN = v",
    time = "if type(v) ~= 'number' or floor(v) ~= v or v >= 0x1p53 or v <= -0x1p53 then " ..
        "if v == nil then P.cN = NONE else P.cN = whole(v, 'N0') end else P.cN = v end",
    float = "if type(v) ~= 'number' or v - v ~= 0 then v = float(v, 'N0') end P.cN = v",
    bool = "if type(v) ~= 'boolean' then v = bool(v, 'N0') end P.cN = v",
    text = "if type(v) == 'string' then local t = P.cN t.data = keep(v) t.size = #v " ..
        "elseif v == nil then P.cN.data = nil P.cN.size = 0 else refuse('N0', v) end",
}
setters.decimal, setters.date, setters.json = setters.int, setters.time, setters.text
setters.list = setters.text

local function shown(value)
    if type(value) == "string" then
        return ("`%s`"):format(#value > 40 and value:sub(1, 40) .. "..." or value)
    elseif type(value) == "number" then
        return ("%.17g"):format(value)
    elseif refold.is_integer(value) then
        return (tostring(value):gsub("U?LL$", ""))
    elseif type(value) == "boolean" or value == nil then
        return tostring(value)
    end
    return "a " .. refold.type_of(value)
end

local function refuse(name, value, what)
    local column = declared.column_by_name[name]
    local kind = column.kind == "decimal" and "decimal(" .. column.scale .. ")" or column.kind
    fail("column %s (%s) cannot hold %s%s", name, kind, shown(value), what or "")
end

local LIMIT = 9007199254740992LL
local NONE = -0x7fffffffffffffffLL - 1LL

-- What is stored for a value that is not simply a whole number below 2^53.
local function whole(value, name)
    if value == nil then
        return 0
    elseif refold.is_integer(value) then
        if value < LIMIT and value > -LIMIT then
            return tonumber(value)
        end
        refuse(name, value, ": it is not below 2^53")
    elseif type(value) == "number" then
        refuse(name, value, value % 1 ~= 0 and ": it is not whole; round (x) makes it so" or
            ": it is not below 2^53")
    end
    refuse(name, value)
end

local function float(value, name)
    if value == nil then
        return 0
    elseif refold.is_integer(value) then
        return tonumber(value)
    end
    refuse(name, value)
end

local function bool(value, name)
    if value == nil then
        return false
    end
    refuse(name, value)
end

-- How many letters differ, more or less: enough to find what was meant.
local function distance(a, b)
    local row = {}
    for j = 0, #b do
        row[j] = j
    end
    for i = 1, #a do
        local corner = row[0]
        row[0] = i
        for j = 1, #b do
            local least = math.min(row[j] + 1, row[j - 1] + 1,
                corner + (a:byte(i) == b:byte(j) and 0 or 1))
            corner, row[j] = row[j], least
        end
    end
    return row[#b]
end

local function nearest(name, list)
    local best, least = nil, math.max(2, #name / 3)
    for _, item in ipairs(list) do
        local far = distance(name, item.name)
        if far <= least then
            best, least = item.name, far
        end
    end
    return best and "; did you mean `" .. best .. "`?" or ""
end

local function no_column(name)
    fail("the row has no column `%s`%s", tostring(name), nearest(tostring(name), declared.columns))
end

local helpers = {
    cursor = cursor, cast = cast, tonumber = tonumber, type = type, floor = math.floor,
    text_at = text_at, keep = keep, whole = whole, float = float, bool = bool,
    refuse = refuse, no_column = no_column, fail = fail, LIMIT = LIMIT, NONE = NONE,
    copy = ffi.copy,
}

-- A function of the generated source, which may name the helpers and `more`.
local function generate(source, more)
    local names, values = {}, {}
    for _, from in ipairs({ helpers, more }) do
        for name, value in pairs(from) do
            names[#names + 1] = name
            values[#values + 1] = value
        end
    end
    local chunk = assert(loadstring("local " .. concat(names, ", ") .. " = ... " .. source, "=refold"))
    return chunk(unpack(values))
end

-- "if name == 'a' then ... elseif ... end", each part from `of`.
local function chain(list, of)
    local parts = {}
    for i, item in ipairs(list) do
        local code = of(item):gsub("N0", item.name):gsub("cN", "c" .. i):gsub("hN", "h" .. i)
        parts[#parts + 1] = ("if name == %q then %s end"):format(item.name, code)
    end
    return concat(parts, "\n")
end

local function refuse_all(what)
    local function refuse_it()
        fail("%s has no arithmetic, order or text", what)
    end
    local meta = {}
    for name in ("add sub mul div mod pow unm lt le concat call len"):gmatch("%a+") do
        meta["__" .. name] = refuse_it
    end
    return meta
end

-- `key` tells the row's key.
local function make_row(key)
    local struct = struct_of(declared.columns)
    local row_type = ffi.typeof("$ *", struct)
    local template = ffi.new(struct)
    for i, column in ipairs(declared.columns) do
        if column.kind == "time" or column.kind == "date" then
            template["c" .. i] = NONE
        end
    end
    local more = { row_type = row_type, template = template, size = ffi.sizeof(struct) }
    local meta = refuse_all("a row")
    local function delete()
        cursor.flags = 1
        ffi.copy(cursor.row, template, more.size)
    end
    more.delete = delete
    meta.__index = generate([[return function(_, name)
        if name == "exists" then return cursor.flags >= 2 end
        if name == "delete" then return delete end
        if name == "key" then return key() end
        local p = cast(row_type, cursor.row)
        ]] .. chain(declared.columns, function(c) return (getters[c.kind]:gsub("P", "p")) end) .. [[

        no_column(name) end]], { row_type = row_type, delete = delete, key = key })
    meta.__newindex = generate([[return function(_, name, v)
        cursor.flags = 3
        local p = cast(row_type, cursor.row)
        ]] .. chain(declared.columns, function(c)
            return setters[c.kind]:gsub("P", "p") .. " return"
        end) .. [[

        no_column(name) end]], { row_type = row_type })
    local object = ffi.metatype(ffi.typeof("struct {}"), meta)
    return ffi.new(object), struct
end

-- `changes`: what an upcaster assigns to the event, by functions; without, it cannot be changed.
local function make_event(handler, changes)
    local struct = struct_of(handler.fields)
    local event_type = ffi.typeof("const $ *", struct)
    local meta = refuse_all("an event")
    local asked = {}
    for i, field in ipairs(handler.fields) do
        asked[i] = { name = field.name, code = field.ask and "return p.hN" or "return true" }
    end
    local no_field = function(name)
        name = tostring(name)
        if members[name] then
            fail("the event's `%s` is not read: name it in the handler itself", name)
        end
        fail("%s declares no field `%s`%s",
            changes and changes.what or "the handler of " .. handler.type, name,
            nearest(name, handler.fields))
    end
    local assigned = changes and changes.assigned
    local has = generate([[return function(_, name)
        ]] .. (changes and "local done, v = assigned(name) if done then return v ~= nil end" or "") .. [[

        local p = cast(event_type, cursor.event)
        ]] .. chain(asked, function(f) return f.code end) .. [[

        no_field(name) end]], { event_type = event_type, no_field = no_field, assigned = assigned })
    meta.__index = generate([[return function(_, name)
        if name == "has" then return has end
        ]] .. (changes and "local done, v = assigned(name) if done then return v end" or "") .. [[

        local p = cast(event_type, cursor.event)
        ]] .. chain(handler.fields, function(f) return (getters[f.kind]:gsub("P", "p")) end) .. [[

        no_field(name) end]],
        { event_type = event_type, no_field = no_field, has = has, assigned = assigned })
    meta.__newindex = changes and changes.newindex or function(_, name)
        fail("an event cannot be changed (`%s`)", tostring(name))
    end
    return ffi.new(ffi.metatype(ffi.typeof("struct {}"), meta)), struct
end

---- the engine's tables ----

local kind_numbers = {
    int = 1, decimal = 2, float = 3, bool = 4, text = 5, time = 6, date = 7, json = 8, list = 8,
}
local NO_PRESENT = 0xffffffff
local anchored = {} -- what the tables point to

local function c_text(text)
    anchored[#anchored + 1] = text
    return text
end

local function anchor(ctype, count)
    local array = ffi.new(ctype, count > 0 and count or 1)
    anchored[#anchored + 1] = array
    return array
end

local function fields_of(fields, struct)
    local array = anchor("refold_field[?]", #fields)
    for i, field in ipairs(fields) do
        local to = array[i - 1]
        to.source, to.kind, to.scale = field.source, kind_numbers[field.kind], field.scale
        to.optional, to.rounding = field.optional and 1 or 0, field.rounding or 0
        to.offset = ffi.offsetof(struct, "c" .. i)
        to.present_offset = field.ask and ffi.offsetof(struct, "h" .. i) or NO_PRESENT
        to.path = field.path and c_text(field.path)
    end
    return array
end

local function columns_of(struct)
    local array = anchor("refold_column[?]", #declared.columns)
    for i, column in ipairs(declared.columns) do
        local to = array[i - 1]
        to.name, to.kind, to.scale = c_text(column.name), kind_numbers[column.kind], column.scale
        to.offset = ffi.offsetof(struct, "c" .. i)
    end
    return array
end

-- For the chunk of upcasters.
refold.driving = {
    keep = keep, text_at = text_at, make_event = make_event, generate = generate, anchor = anchor,
    c_text = c_text, kind_numbers = kind_numbers, fields_of = fields_of,
}

local function only_streams(key)
    local part = key and key.parts and #key.parts == 1 and key.parts[1]
    return not key or part and part.source == members.stream[1]
end

-- Makes all from what was declared: the loop's function, and the tables in the cursor.
function refold.make()
    local events, fns = {}, {}
    local row, row_struct = make_row(function()
        return events[cursor.calls[cursor.at].handler + 1].stream
    end)
    local handlers = anchor("refold_handler[?]", #declared.handlers)
    for i, handler in ipairs(declared.handlers) do
        local event, struct = make_event(handler)
        local to = handlers[i - 1]
        to.type = c_text(handler.type)
        to.fields, to.field_count = fields_of(handler.fields, struct), #handler.fields
        to.event_size = #handler.fields > 0 and ffi.sizeof(struct) or 0
        to.every_row = handler.every_row and 1 or 0
        events[i], fns[i] = event, handler.fn
        if handler.key or handler.every_row then
            fail("keys other than `stream` are not possible")
        end
    end
    if not only_streams(declared.key) then
        fail("keys other than `stream` are not possible")
    end
    local tables = anchor("refold_projection[?]", 1)[0]
    tables.magic, tables.abi, tables.struct_size = 0x646c6f6665720001ULL, 2, ffi.sizeof(tables)
    tables.name, tables.version, tables.key = c_text(declared.name), declared.version, "stream"
    tables.row_size, tables.columns = ffi.sizeof(row_struct), columns_of(row_struct)
    tables.column_count, tables.handlers = #declared.columns, handlers
    tables.handler_count = #declared.handlers
    cursor.tables = tables

    return function()
        local calls = cursor.calls
        for i = 0, cursor.count - 1 do
            local call = calls[i]
            local flags, h = call.flags, call.handler + 1
            cursor.at, cursor.row, cursor.event, cursor.flags = i, call.row, call.event, flags[0]
            fns[h](row, events[h])
            flags[0] = cursor.flags
        end
    end
end
