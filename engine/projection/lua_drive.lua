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
local pairs, next, thaw, pcall, error = pairs, next, refold.thaw, pcall, error
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

local used = ffi.new("uint16_t[?]", 2 * SLOTS) -- slots to forget, those of kept_text behind the others

local function slot_of(pointer)
    local at = tonumber(cast("uint32_t", cast("uintptr_t", pointer)))
    return band(bxor(at, rshift(at, 12)), SLOTS - 1)
end

local function use(slot)
    used[cursor.texts] = slot
    cursor.texts = cursor.texts + 1
end

local function remember_kept(slot, text, data)
    if not kept_text[slot] then
        use(SLOTS + slot)
    end
    kept_text[slot], kept_at[slot] = text, data
end

local function text_at(data, size)
    local slot = slot_of(data)
    local from = read_from[slot]
    if from.data == data and from.size == size then
        return read_text[slot]
    end
    local text = text_from(data, size)
    if from.data == nil then
        use(slot)
    end
    from.data, from.size, read_text[slot] = data, size, text
    remember_kept(slot_of(cast("const char *", text)), text, data)
    return text
end

-- Where the text stands for as long as a row needs it.
local function keep(text)
    local slot = slot_of(cast("const char *", text))
    if kept_text[slot] == text then
        return kept_at[slot]
    end
    if not refold.utf8_valid(text, #text) then
        fail("a text that is no UTF-8, as if it were cut inside a character")
    end
    local data = refold.keep_text(cursor, text, #text)
    if data == nil then
        fail("out of memory for a text of %d bytes", #text)
    end
    remember_kept(slot, text, data)
    return data
end

function refold.forget()
    for i = 0, cursor.texts - 1 do
        local slot = used[i]
        if slot < SLOTS then
            read_from[slot].data = nil
        else
            kept_text[slot - SLOTS] = false
        end
    end
    cursor.texts = 0
end

---- layouts ----

local c_types = {
    int = "int64_t", decimal = "int64_t", time = "int64_t", date = "int64_t", float = "double",
    bool = "bool", text = "refold_text", json = "refold_text", list = "refold_text",
}

-- A struct with a member a column or field, c1, c2 and so on, and after them the bools that say what
-- an event has.
local function struct_of(list, more)
    local parts = { more }
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
getters.decimal, getters.date = getters.int, getters.time
-- of an event; a row's json and lists are values that live until the end of the batch
getters.json = "local v = P.cN.data if v == nil then return nil end " ..
    "return from_json(text_at(v, P.cN.size))"
local live_getter = "return live_value('N0', P.cN)"

-- What a plain copy reads of a text: where it stands. One is enough, it is stored at once.
local held = ffi.new("refold_text")
local holder = ffi.typeof("refold_text")
local held_getter = "local v = P.cN.data if v == nil then return nil end " ..
    "held.data, held.size = v, P.cN.size return held"

-- A value that may be such a copy, as anyone else wants it.
local function settled(value)
    if type(value) == "cdata" and ffi.istype(holder, value) then
        return text_at(value.data, value.size)
    end
    return value
end

local setters = {
    int = "if type(v) ~= 'number' or floor(v) ~= v or v >= 0x1p53 or v <= -0x1p53 then " ..
        "v = whole(v, 'N0') end P.cN = v",
    time = "if type(v) ~= 'number' or floor(v) ~= v or v >= 0x1p53 or v <= -0x1p53 then " ..
        "if v == nil then P.cN = NONE else P.cN = whole(v, 'N0') end else P.cN = v end",
    float = "if type(v) ~= 'number' or v - v ~= 0 then v = float(v, 'N0') end P.cN = v",
    bool = "if type(v) ~= 'boolean' then v = bool(v, 'N0') end P.cN = v",
    text = "if type(v) == 'string' then local t = P.cN t.data = keep(v) t.size = #v " ..
        "elseif v == nil then P.cN.data = nil P.cN.size = 0 " ..
        "elseif type(v) == 'cdata' and istype(holder, v) then local t = P.cN " ..
        "t.data = v.data t.size = v.size else refuse('N0', v) end",
}
setters.decimal, setters.date = setters.int, setters.time
setters.json = "live_set('N0', v)"
setters.list = setters.json

local function shown(value)
    value = settled(value)
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

refold.shown = shown
local part_kinds = {} -- of computed keys, by the names of their parts

local function refuse(name, value, what)
    local column = declared.column_by_name[name]
    local kind = column and column.kind or part_kinds[name]
    if column and kind == "decimal" then
        kind = "decimal(" .. column.scale .. ")"
    end
    fail("%s %s (%s) cannot hold %s%s", column and "column" or "the key's", name, kind, shown(value),
        what or "")
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
    elseif type(value) == "number" and value - value == 0 then
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
refold.nearest = nearest

---- json and lists of rows ----

-- Rows whose handlers were given or stored a value in this batch, numbered; the row itself has its
-- number in a member that is no column, which counts only where the address is the row's. A value
-- becomes text again at the end of the batch, before anyone else looks at the row.
local live_count, live_rows, live_calls = 0, {}, {}
local values = {} -- by column, then number
local row_pointer -- type of a pointer to the projection's row
local slots = {} -- of json and lists: the struct's members by the columns' names

local function live_number()
    local at = tonumber(cast("uintptr_t", cursor.row))
    local row = cast(row_pointer, cursor.row)
    local number = row.live
    if number == 0 or number > live_count or live_rows[number] ~= at then
        live_count = live_count + 1
        number = live_count
        live_rows[number], row.live = at, number
        cursor.live = 1
    end
    live_calls[number] = cursor.at
    return number
end

local function put_slice(address, name, text)
    local slice = cast(row_pointer, address)[slots[name]]
    slice.data, slice.size = text and keep(text), text and #text or 0
end

local function live_value(name, slice)
    local number = live_number()
    local value = values[name][number]
    if value ~= nil or slice.data == nil then
        return value
    end
    value = refold.column_value(text_from(slice.data, slice.size), declared.column_by_name[name])
    if type(value) == "table" then
        values[name][number] = value
    end
    return value
end

local function live_set(name, value)
    value = settled(value)
    local number, column = live_number(), declared.column_by_name[name]
    if value ~= nil and values[name][number] == value then
        return
    end
    values[name][number] = nil
    if value == nil then
        put_slice(cursor.row, name, column.kind == "list" and "[]" or nil)
    elseif refold.type_of(value) == "table" then
        refold.column_text(value, column) -- tells at once what cannot be
        values[name][number] = value
    else
        put_slice(cursor.row, name, refold.column_text(value, column))
    end
end

local function live_forget_row()
    local number = live_number()
    for _, of in pairs(values) do
        of[number] = nil
    end
end

function refold.unlive()
    for number = 1, live_count do
        for _, of in pairs(values) do
            of[number] = nil
        end
    end
    live_count, cursor.live = 0, 0
end

-- Notes that a row which does not exist got a list from the call that just ended: a change in place
-- is a write.
local function note_changes()
    local at = tonumber(cast("uintptr_t", cursor.row))
    local number = cast(row_pointer, cursor.row).live
    if number == 0 or number > live_count or live_rows[number] ~= at then
        return
    end
    for _, of in pairs(values) do
        if of[number] ~= nil and next(thaw(of[number])) ~= nil then
            cursor.flags = 3
        end
    end
end

local function write_live()
    for _, column in ipairs(declared.columns) do
        local of = values[column.name]
        for number = 1, of and live_count or 0 do
            local value = of[number]
            if value ~= nil then
                cursor.at = live_calls[number]
                put_slice(cast("char *", cast("uintptr_t", live_rows[number])), column.name,
                    refold.column_text(value, column))
            end
        end
    end
end

-- Writes what lives into the rows; what cannot be is a fault of the call that had it last, and its
-- place is where that handler begins.
local function settle()
    local fine, what = pcall(write_live)
    if not fine then
        error({ place = refold.places[cursor.calls[cursor.at].handler + 1], what = what }, 0)
    end
    refold.unlive()
end

local function column_getter(column)
    if column.members or column.kind == "json" then
        return live_getter
    end
    return refold.combined_getter(column, getters[column.kind])
end

local function no_column(name)
    fail("the row has no column `%s`%s", tostring(name), nearest(tostring(name), declared.columns))
end

local helpers = {
    cursor = cursor, cast = cast, tonumber = tonumber, type = type, floor = math.floor,
    text_at = text_at, keep = keep, whole = whole, float = float, bool = bool,
    held = held, holder = holder, istype = ffi.istype, refuse = refuse,
    from_json = refold.from_json, live_value = live_value, live_set = live_set,
    note_changes = note_changes,
    no_column = no_column, fail = fail, LIMIT = LIMIT, NONE = NONE,
    copy = ffi.copy,
}

-- A function of the generated source, which may name the helpers and `more`.
local function generate(source, more)
    local names, values = {}, {}
    for _, from in ipairs({ helpers, refold.combined_helpers, more }) do
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
        local at = item.at or i
        local code = of(item):gsub("N0", item.name):gsub("cN", "c" .. at):gsub("hN", "h" .. at)
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

local anchored = {} -- what the tables point to

local function c_text(text)
    anchored[#anchored + 1] = text
    return text
end

local function anchor(ctype, count)
    local array = count and ffi.new(ctype, count > 0 and count or 1) or ffi.new(ctype)
    anchored[#anchored + 1] = array
    return array
end

-- `key` tells the row's key.
local function make_row(key)
    local lives = false
    for _, column in ipairs(declared.columns) do
        lives = lives or column.kind == "json" or column.kind == "list"
    end
    local struct = struct_of(declared.columns, lives and "int32_t live;" or nil)
    local row_type = ffi.typeof("$ *", struct)
    local template = anchor(struct)
    for i, column in ipairs(declared.columns) do
        if column.kind == "time" or column.kind == "date" then
            template["c" .. i] = NONE
        elseif column.kind == "list" then
            template["c" .. i].data, template["c" .. i].size = "[]", 2
        end
        if column.kind == "json" or column.kind == "list" then
            slots[column.name], values[column.name] = "c" .. i, {}
        end
    end
    cursor.row_template, row_pointer = template, row_type
    local more = { row_type = row_type, template = template, size = ffi.sizeof(struct) }
    local meta = refuse_all("a row")
    local function delete()
        if cursor.live > 0 then
            live_forget_row()
        end
        cursor.flags = 1
        ffi.copy(cursor.row, template, more.size)
    end
    more.delete = delete
    meta.__index = generate([[return function(_, name)
        if name == "exists" then
            if combines then fail("row.exists is not known where columns combine") end
            if cursor.live > 0 and cursor.flags < 2 then note_changes() end
            return cursor.flags >= 2
        end
        if name == "delete" then return delete end
        if name == "key" then return key() end
        local p = cast(row_type, cursor.row)
        ]] .. chain(declared.columns, function(c)
            return (column_getter(c):gsub("P%f[%.]", "p"))
        end) .. [[

        no_column(name) end]],
        { row_type = row_type, delete = delete, key = key, combines = next(declared.combine) ~= nil })
    meta.__newindex = generate([[return function(_, name, v)
        cursor.flags = 3
        local p = cast(row_type, cursor.row)
        ]] .. chain(declared.columns, function(c)
            return refold.combined_setter(c, setters[c.kind]):gsub("P%f[%.]", "p") .. " return"
        end) .. [[

        no_column(name) end]], { row_type = row_type })
    local object = ffi.metatype(ffi.typeof("struct {}"), meta)
    return ffi.new(object), struct
end

local function no_carry(name)
    fail("nothing is carried as `%s`; declare it: carry { %s = { TYPE = \"field kind\" } }",
        tostring(name), tostring(name))
end

local function chain_of_carried(fields)
    local parts = {}
    for i, field in ipairs(fields) do
        if field.carried then
            parts[#parts + 1] = ("if name == %q then %s end"):format(field.carried,
                (getters[field.kind]:gsub("P", "p"):gsub("cN", "c" .. (field.at or i))))
        end
    end
    return concat(parts, "\n")
end

-- `changes`: what an upcaster assigns to the event, by functions; without, it cannot be changed.
-- `struct`: where the fields stand, at their places in it (`at`); without, one is made.
local function make_event(handler, changes, struct)
    struct = struct or struct_of(handler.fields)
    local event_type = ffi.typeof("const $ *", struct)
    local meta = refuse_all("an event")
    local function refuse_change(_, name)
        fail("an event cannot be changed (`%s`)", tostring(name))
    end
    meta.__newindex = changes and changes.newindex or refuse_change
    local asked = {}
    for i, field in ipairs(handler.fields) do
        asked[i] = { name = field.name, at = field.at, code = field.ask and "return p.hN" or "return true" }
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
    local carried = generate([[return function(_, name)
        local p = cast(event_type, cursor.event)
        ]] .. chain_of_carried(handler.fields) .. [[

        no_carry(name) end]], { event_type = event_type, no_carry = no_carry })
    local meta_of_carried = refuse_all("what is carried")
    meta_of_carried.__index = carried
    meta_of_carried.__newindex = refuse_change
    carried = ffi.new(ffi.metatype(ffi.typeof("struct {}"), meta_of_carried))
    meta.__index = generate([[return function(_, name)
        if name == "has" then return has end
        if name == "carried" then return carried end
        ]] .. (changes and "local done, v = assigned(name) if done then return v end" or "") .. [[

        local p = cast(event_type, cursor.event)
        ]] .. chain(handler.fields, function(f) return (getters[f.kind]:gsub("P", "p")) end) .. [[

        no_field(name) end]], { event_type = event_type, no_field = no_field, has = has,
        carried = carried, assigned = assigned })
    -- a plain copy
    meta.__call = changes and meta.__index or generate([[return function(e, name)
        local p = cast(event_type, cursor.event)
        ]] .. chain(handler.fields, function(f)
            return f.kind == "text" and (held_getter:gsub("P", "p")) or "return e[name]"
        end) .. [[

        return e[name] end]], { event_type = event_type })
    return ffi.new(ffi.metatype(ffi.typeof("struct {}"), meta)), struct
end

---- the engine's tables ----

local kind_numbers = {
    int = 1, decimal = 2, float = 3, bool = 4, text = 5, time = 6, date = 7, json = 8, list = 8,
}
local NO_PRESENT = 0xffffffff
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
        to.offset, to.combine = ffi.offsetof(struct, "c" .. i), declared.combine[column.name] or 0
    end
    for name in pairs(declared.combine) do
        if not declared.column_by_name[name] then
            fail("combine: there is no column `%s`%s", name, nearest(name, declared.columns))
        end
    end
    return array
end

-- For the chunk of upcasters.
refold.driving = {
    keep = keep, text_at = text_at, make_event = make_event, generate = generate, anchor = anchor,
    c_text = c_text, kind_numbers = kind_numbers, fields_of = fields_of,
}

-- A computed key's function, which fills the struct of its parts where a handler's row would be.
local function make_compute(key, parts, fn)
    local struct = struct_of(parts)
    local names, sets = {}, {}
    for i, part in ipairs(parts) do
        local name = "part " .. i
        part_kinds[name] = part.kind
        names[i] = "v" .. i
        sets[i] = ("do local v = v%d %s end"):format(i, setters[part.kind]:gsub("P", "p")
            :gsub("N0", name):gsub("cN", "c" .. i))
    end
    key.parts_struct = struct
    local function too_many()
        fail("the key's function gives more than %d value%s", #parts, #parts == 1 and "" or "s")
    end
    return generate("return function(_, e) local " .. concat(names, ", ") .. ", more = fn(e) " ..
        "if more ~= nil then too_many() end local p = cast(part_type, cursor.row) " ..
        concat(sets, " ") .. " end",
        { part_type = ffi.typeof("$ *", struct), fn = fn, too_many = too_many })
end

local function parts_of(parts, struct)
    local array = anchor("refold_field[?]", #parts)
    for i, part in ipairs(parts) do
        local to = array[i - 1]
        to.source, to.kind, to.scale = part.source, kind_numbers[part.kind], part.scale
        to.rounding = part.rounding or 0
        to.path, to.present_offset = part.path and c_text(part.path), NO_PRESENT
        to.offset = struct and ffi.offsetof(struct, "c" .. i) or 0
    end
    return array
end

local function is_stream(key)
    return not key or key.parts and #key.parts == 1 and key.parts[1].source == members.stream[1]
end

local function key_of(key, event_struct)
    local to = anchor("refold_key[?]", 1)
    local parts = key.compute and declared.key.parts or key.parts
    to[0].parts, to[0].part_count = parts_of(parts, key.parts_struct), #parts
    if key.compute then
        to[0].compute, to[0].fields = refold.compute_at, fields_of(key.fields, event_struct)
        to[0].field_count, to[0].event_size = #key.fields, ffi.sizeof(event_struct)
        to[0].parts_size = ffi.sizeof(key.parts_struct)
    end
    return to
end

-- The key that a handler goes by; nil for the projection's own.
local function own_key(handler)
    if handler.key then
        if handler.key.compute and not (declared.key and declared.key.parts) then
            fail("on (\"%s\"): a computed key needs the kinds of its parts: key { \"NAME KIND\" }",
                handler.type)
        end
        return handler.key
    elseif declared.key and declared.key.of_types then
        return declared.key.of_types[handler.type] or
            fail("on (\"%s\"): the key tells nothing of this type; give it by (...)", handler.type)
    end
end

local function fill_lists(tables)
    local carries = anchor("refold_carry[?]", #declared.carries)
    for i, carry in ipairs(declared.carries) do
        carries[i - 1].name, carries[i - 1].type = c_text(carry.name), c_text(carry.type)
        carries[i - 1].field = parts_of({ carry.field })[0]
    end
    local indexes = anchor("refold_index[?]", #declared.indexes)
    for i, index in ipairs(declared.indexes) do
        local columns = anchor("const char *[?]", #index)
        for k, name in ipairs(index) do
            if not declared.column_by_name[name] then
                fail("index: there is no column `%s`%s", name, nearest(name, declared.columns))
            end
            columns[k - 1] = c_text(name)
        end
        indexes[i - 1].columns, indexes[i - 1].column_count = columns, #index
    end
    tables.carries, tables.carry_count = carries, #declared.carries
    tables.indexes, tables.index_count = indexes, #declared.indexes
    tables.flags = (declared.all_types and 1 or 0) + (declared.no_key_ignore and 2 or 0)
end

-- Where functions that the loop calls begin, as "FILE:LINE".
refold.places = {}
local function place_of(fn)
    local info = debug.getinfo(fn, "S")
    return info.source:gsub("^@", "") .. ":" .. info.linedefined
end

-- Tables of the handlers; `events` and `fns` get what the loop calls: by handler, and behind them
-- what computes its key.
local function handlers_of(events, fns)
    local count = #declared.handlers
    local handlers = anchor("refold_handler[?]", count)
    for i, handler in ipairs(declared.handlers) do
        local event, struct = make_event(handler)
        local to, key = handlers[i - 1], own_key(handler)
        to.type = c_text(handler.type)
        to.fields, to.field_count = fields_of(handler.fields, struct), #handler.fields
        to.event_size = #handler.fields > 0 and ffi.sizeof(struct) or 0
        to.every_row = handler.every_row and 1 or 0
        events[i], fns[i] = event, handler.fn
        refold.places[i] = place_of(handler.fn)
        events[count + i], fns[count + i] = false, false
        if handler.key_fields then
            handler.key_event =
                make_event({ type = handler.type, fields = handler.key_fields }, nil, struct)
        end
        if key and key.compute then
            local key_event, key_struct = make_event({ type = handler.type, fields = key.fields })
            events[count + i] = key_event
            fns[count + i] = make_compute(key, declared.key.parts, key.compute)
            refold.places[count + i] = place_of(key.compute)
            to.key = key_of(key, key_struct)
        elseif key and not (is_stream(key) and is_stream(declared.key)) then
            to.key = key_of(key)
        end
    end
    return handlers
end

-- As a part of a key has it; the names of parts are those of make_compute.
local function parts_in(...)
    local parts = { ... }
    for i = 1, #parts do
        local value = settled(parts[i])
        parts[i] = refold.is_integer(value) and whole(value, "part " .. i) or value
    end
    return parts
end

-- row.key: a value, or a list of the values of a tuple. One that is computed is computed once more.
local function key_in(event, handler)
    local names, parts = handler.key_names, {}
    if handler.key_event then
        parts = parts_in(handler.key.compute(handler.key_event))
        if #parts == 1 then
            return parts[1]
        end
        return parts
    elseif not names then
        fail("row.key is not known where a handler gets every row; name the fields instead")
    elseif #names == 1 then
        return event[names[1]]
    end
    for i, name in ipairs(names) do
        parts[i] = event[name]
    end
    return parts
end

-- Makes all from what was declared: the loop's function, and the tables in the cursor.
function refold.make()
    local events, fns = {}, {}
    local row, row_struct = make_row(function()
        local h = cursor.calls[cursor.at].handler + 1
        return key_in(events[h], declared.handlers[h])
    end)
    local tables = anchor("refold_projection[?]", 1)[0]
    tables.magic, tables.abi, tables.struct_size = 0x646c6f6665720001ULL, 2, ffi.sizeof(tables)
    tables.name, tables.version = c_text(declared.name), declared.version
    tables.row_size, tables.columns = ffi.sizeof(row_struct), columns_of(row_struct)
    tables.column_count, tables.handlers = #declared.columns, handlers_of(events, fns)
    tables.handler_count = #declared.handlers
    if is_stream(declared.key) then
        tables.key = "stream"
    elseif declared.key.parts then
        tables.key_by = key_of(declared.key)
    else
        local _, any = next(declared.key.of_types)
        tables.key_by = key_of(any)
    end
    fill_lists(tables)
    cursor.tables = tables
    jit.on()
    local has_values = next(slots) ~= nil

    return function()
        local calls = cursor.calls
        for i = 0, cursor.count - 1 do
            local call = calls[i]
            local flags, h = call.flags, call.handler + 1
            cursor.at, cursor.row, cursor.event, cursor.flags = i, call.row, call.event, flags[0]
            fns[h](row, events[h])
            if has_values and cursor.live > 0 and cursor.flags < 2 then
                note_changes()
            end
            flags[0] = cursor.flags
        end
        if cursor.live > 0 then
            settle()
        end
    end
end
