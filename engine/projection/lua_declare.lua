-- The declarations of a Lua projection: what its file calls while it is loaded, what is checked of
-- them, and of the bytecode of its handlers.
local refold = ...

local fail, env, ffi = refold.fail, refold.env, refold.ffi
local jutil, getinfo, getupvalue, setupvalue, setfenv = refold.jutil, debug.getinfo,
    debug.getupvalue, debug.setupvalue, setfenv
local band, rshift = bit.band, bit.rshift
local type, ipairs, pairs, next, tostring, concat, sort, loadstring, error =
    type, ipairs, pairs, next, tostring, table.concat, table.sort, loadstring, error

---- the projection that is being declared ----

local declared = {
    columns = nil, handlers = {}, column_by_name = {}, carries = {}, indexes = {}, combine = {},
    renames = {}, upcasts = {}, schemas = {},
}
refold.declared = declared
refold.loading = true

---- fields: PATH KIND[?] [ROUNDING] [as NAME] ----

local members = {
    stream = { 1, "text" }, category = { 2, "text" }, type = { 3, "text" }, version = { 4, "int" },
    schema = { 5, "int" }, position = { 6, "int" }, time = { 7, "time" },
}
refold.members = members
local member_order = { "stream", "category", "type", "version", "schema", "position", "time" }
local CARRIED = 8
local kinds = { int = 1, decimal = 2, float = 3, bool = 4, text = 5, time = 6, date = 7, json = 8 }
local roundings = { half_even = 1, half_up = 2, down = 3, up = 4 }
local not_for_columns = { key = true, exists = true, delete = true }

local function expect_text(value, what)
    if type(value) ~= "string" then
        fail("%s is a %s; it must be a text", what, refold.type_of(value))
    elseif value:find("\0", 1, true) then
        fail("%s has a NUL", what)
    end
    return value
end

-- Splits 'a."b c" int?' into the path, its name without quotes, and the rest.
local function split_path(text)
    local at, name = text:find("%S") or #text + 1, {}
    local begin = at
    while at <= #text and not text:find("^%s", at) do
        local c = text:sub(at, at)
        if c == '"' then
            local stop = text:find('"', at + 1, true)
            if not stop then
                fail("`%s`: a quoted name without its end", text)
            end
            name[#name + 1] = text:sub(at + 1, stop - 1)
            at = stop + 1
        else
            name[#name + 1] = c
            at = at + 1
        end
    end
    return text:sub(begin, at - 1), concat(name), text:sub(at)
end

local parse_kind

-- "sku text, qty int": the members of a list's elements.
local function parse_members(text, whole)
    local list = {}
    for part in (text .. ","):gmatch("%s*(.-)%s*,") do
        local name, rest = part:match("^([a-z][a-z0-9_]*)%s+(.+)$")
        if not name then
            fail("`%s`: `%s` is no member of a list; write `NAME KIND`", whole, part)
        end
        local kind, left = parse_kind(rest, whole)
        if left:find("%S") or kind.kind == "list" then
            fail("`%s`: `%s` is no member of a list; write `NAME KIND`", whole, part)
        end
        kind.name = name
        list[#list + 1] = kind
    end
    return list
end

-- A kind at the head of `text`: its table, and what is left of the text.
function parse_kind(text, whole)
    local kind, rest = text:match("^%s*([%a_]+)(.*)$")
    if not kind then
        fail("`%s` has no kind; write `NAME KIND`", whole)
    end
    local argument = rest:match("^%b()")
    if argument then
        rest = rest:sub(#argument + 1)
        argument = argument:sub(2, -2)
    end
    if kind == "list" then
        if not argument then
            fail("`%s`: a list names its members: list(sku text, qty int)", whole)
        end
        local list = parse_members(argument, whole)
        local by_name = {}
        for _, member in ipairs(list) do
            if by_name[member.name] then
                fail("`%s`: two members are called %s", whole, member.name)
            end
            by_name[member.name] = true
        end
        return { kind = "list", members = list, member_by_name = by_name, scale = 0 }, rest
    elseif not kinds[kind] then
        fail("`%s`: `%s` is no kind; there are int, decimal(n), float, bool, text, time, date, json " ..
            "and list(...)", whole, kind)
    end
    local scale = 0
    if kind == "decimal" then
        scale = argument and argument:find("^%s*%d+%s*$") and tonumber(argument)
        if not scale or scale > 18 then
            fail("`%s`: a decimal has its places, 0 to 18: decimal(2)", whole)
        end
    elseif argument then
        fail("`%s`: only decimal and list have something in brackets", whole)
    end
    return { kind = kind, scale = scale }, rest
end

local function check_path(path, text)
    if path == "" then
        fail("`%s`: a field begins with its path", text)
    elseif path:gsub('"[^"]*"', ""):find("[%[%]]") then
        fail("`%s`: paths into arrays (`[]`) are not available; read the array as json", text)
    end
end

-- The words behind a field's kind.
local function parse_rest(field, rest, text)
    local words = {}
    for word in rest:gmatch("%S+") do
        words[#words + 1] = word
    end
    local at = 1
    if words[at] and words[at] ~= "as" then
        field.rounding = roundings[words[at]]
        if not field.rounding then
            fail("`%s`: `%s` is not expected here; roundings are half_even, half_up, down and up",
                text, words[at])
        elseif field.kind ~= "decimal" then
            fail("`%s`: only a decimal is rounded", text)
        end
        at = at + 1
    end
    if words[at] == "as" then
        field.name = words[at + 1]
        field.renamed = true
        if not field.name or not field.name:find("^[%a_][%w_]*$") then
            fail("`%s`: `as` needs a name", text)
        end
        at = at + 2
    end
    if words[at] then
        fail("`%s`: `%s` is not expected here", text, words[at])
    end
end

-- `alone`: a key's part, which may be a member of the event.
local function parse_field(text, alone)
    expect_text(text, "a field")
    local path, name, rest = split_path(text)
    check_path(path, text)
    if alone and not rest:find("%S") and members[path] and members[path][2] == "text" then
        return { source = members[path][1], kind = "text", scale = 0, name = path }
    end
    local field, left = parse_kind(rest, text)
    if field.kind == "list" then
        fail("`%s`: an event has no lists; read it as json", text)
    end
    field.path, field.name, field.source = path, name, 0
    if left:find("^%?") then
        field.optional = true
        left = left:sub(2)
    end
    parse_rest(field, left, text)
    local carried = path:match("^carried%.(.+)$")
    if carried then
        field.source, field.path = CARRIED, carried
    elseif members[field.name] or field.name == "has" or field.name == "carried" then
        fail("`%s` would hide the event's own `%s`; give it another name: `%s as NAME`", text,
            field.name, text)
    end
    return field
end
refold.parse_field = parse_field

local function parse_fields(list, what)
    if type(list) ~= "table" then
        fail("%s: the fields are a %s; they are a list: { \"qty int\" }", what, refold.type_of(list))
    end
    local fields, seen = {}, {}
    for i = 1, #list do
        local field = parse_field(list[i])
        if seen[field.name] then
            fail("%s: two fields are called `%s`; rename one: `... as NAME`", what, field.name)
        end
        seen[field.name] = true
        fields[i] = field
    end
    for name in pairs(list) do
        if type(name) ~= "number" or name < 1 or name > #list or name % 1 ~= 0 then
            fail("%s: the fields are a list of texts; `%s` is no place in it", what, tostring(name))
        end
    end
    return fields
end

---- bytecode ----

-- Numbers of the opcodes, found in what the compiler makes: they differ between its versions.
local function opcode(source, at, inner)
    local proto = loadstring(source)
    if inner then
        proto = jutil.funck(proto, -1)
    end
    return band(jutil.funcbc(proto, at), 0xff)
end

local op = {
    gset = opcode("x = 1", 2),
    gget = opcode("return x", 1),
    usetv = opcode("local a; return function(v) a = v end", 1, true),
    usets = opcode("local a; return function() a = 'x' end", 1, true),
    usetn = opcode("local a; return function() a = 1 end", 1, true),
    usetp = opcode("local a; return function() a = nil end", 1, true),
    tgetv = opcode("local a, b = 1, 2 return a[b]", 3),
}
local usets = { [op.usetv] = true, [op.usets] = true, [op.usetn] = true, [op.usetp] = true }

local function at_line(proto, pc, ...)
    local info = jutil.funcinfo(proto, pc)
    error({ place = info.source:gsub("^@", "") .. ":" .. info.currentline,
            what = ("").format(...) }, 0)
end

local function protos_within(proto, visit)
    visit(proto)
    local info = jutil.funcinfo(proto)
    for i = 1, info.gcconsts do
        local constant = jutil.funck(proto, -i)
        if type(constant) == "proto" then
            protos_within(constant, visit)
        end
    end
end

local function check_instruction(proto, pc, ins)
    local code = band(ins, 0xff)
    if code == op.gset then
        local name = jutil.funck(proto, -1 - rshift(ins, 16))
        at_line(proto, pc, "`%s` would be assigned outside of its function; write `local %s`", name,
            name)
    elseif usets[code] then
        local name = jutil.funcuvname(proto, band(rshift(ins, 8), 0xff))
        at_line(proto, pc, "`%s` is assigned from a function that it does not belong to; handlers "
            .. "keep nothing but their row", name)
    elseif code == op.gget then
        local name = jutil.funck(proto, -1 - rshift(ins, 16))
        if env[name] == nil then
            at_line(proto, pc, "`%s` is not known in a projection", name)
        end
    end
end

local function check_code(chunk)
    protos_within(chunk, function(proto)
        for pc = 1, jutil.funcinfo(proto).bytecodes - 1 do
            local ins = jutil.funcbc(proto, pc)
            check_instruction(proto, pc, ins)
        end
    end)
end

-- All functions that `value` leads to, itself included: through what they refer to.
local function reachable(value, visit, seen)
    if seen[value] then
        return
    elseif type(value) == "function" then
        seen[value] = true
        if not jutil.funcinfo(value).bytecodes then
            return
        end
        visit(value)
        for i = 1, 255 do
            local name, inner = getupvalue(value, i)
            if not name then
                break
            elseif inner ~= nil then
                reachable(inner, visit, seen)
            end
        end
    elseif type(value) == "table" then
        seen[value] = true
        for _, inner in pairs(value) do
            reachable(inner, visit, seen)
        end
    end
end

-- The texts that a handler could name members by; and whether it computes names too.
local function names_in(handler)
    local names, computes = {}, false
    reachable(handler, function(fn)
        protos_within(fn, function(proto)
            local info = jutil.funcinfo(proto)
            for i = 1, info.gcconsts do
                local constant = jutil.funck(proto, -i)
                if type(constant) == "string" then
                    names[constant] = true
                end
            end
            for pc = 1, info.bytecodes - 1 do
                computes = computes or band(jutil.funcbc(proto, pc), 0xff) == op.tgetv
            end
        end)
    end, {})
    return names, computes
end

-- What a handler's functions refer to becomes unchangeable.
local function freeze_within(handler)
    local fns = {}
    reachable(handler, function(fn) fns[#fns + 1] = fn end, {})
    for _, fn in ipairs(fns) do
        for i = 1, 255 do
            local name, value = getupvalue(fn, i)
            if not name then
                break
            elseif type(value) == "table" then
                setupvalue(fn, i, refold.freeze(value))
            end
        end
    end
end

---- the declarations ----

local function declare(name, fn)
    env[name] = function(...)
        if not refold.loading then
            fail("`%s` is a declaration; it has no place in a handler", name)
        end
        return fn(...)
    end
end

local function once(name)
    if declared[name] ~= nil then
        fail("`%s` is declared twice", name)
    end
end

declare("name", function(value)
    once("name")
    if not expect_text(value, "the name"):find("^[a-z][a-z0-9_]*$") or #value > 63 then
        fail("the name `%s` is not [a-z][a-z0-9_]* of at most 63 bytes", value)
    end
    declared.name = value
end)

declare("version", function(value)
    once("version")
    if type(value) ~= "number" or value < 1 or value >= 2 ^ 32 or value % 1 ~= 0 then
        fail("a version is a whole number, 1 and up")
    end
    declared.version = value
end)

declare("columns", function(list)
    once("columns")
    if type(list) ~= "table" or #list == 0 then
        fail("columns is a list of texts: { \"total decimal(2)\" }")
    end
    declared.columns = {}
    for i = 1, #list do
        local text = expect_text(list[i], "a column")
        local name, rest = text:match("^%s*(%S+)%s*(.*)$")
        if not name or not name:find("^[a-z][a-z0-9_]*$") or #name > 63 then
            fail("`%s`: a column's name is a-z, 0-9 and _", text)
        elseif not_for_columns[name] then
            fail("`%s`: a column cannot be called %s", text, name)
        elseif declared.column_by_name[name] then
            fail("two columns are called %s", name)
        end
        local column, left = parse_kind(rest, text)
        if left:find("%S") then
            fail("`%s`: `%s` is not expected here", text, left:match("%S.*"))
        end
        column.name = name
        declared.columns[i] = column
        declared.column_by_name[name] = column
    end
end)

local EVERY_ROW = {}
local by_marks = {}

local function parse_parts(list)
    local parts = {}
    for i = 1, #list do
        parts[i] = parse_field(list[i], true)
        if parts[i].kind == "float" or parts[i].kind == "json" then
            fail("a key has a part of kind %s, which it cannot (`%s`)", parts[i].kind, list[i])
        end
    end
    for name in pairs(list) do
        if type(name) ~= "number" then
            fail("a key is either a list of parts or a table of types, not both (`%s`)",
                tostring(name))
        end
    end
    return { parts = parts }
end

-- A text, a list of parts or, for the projection's key, a table by types.
local function parse_key(key, of_types)
    if type(key) == "string" then
        return parse_parts({ key })
    elseif type(key) ~= "table" or next(key) == nil then
        fail("a key is a text, or a table of texts; not a %s", refold.type_of(key))
    elseif key[1] ~= nil or not of_types then
        return parse_parts(key)
    end
    local keys = {}
    for name, part in pairs(key) do
        keys[expect_text(name, "a type of the key")] = parse_key(part)
    end
    return { of_types = keys }
end

declare("key", function(key)
    once("key")
    declared.key = parse_key(key, true)
end)

declare("by", function(list, compute)
    local mark = {}
    if compute == nil then
        by_marks[mark] = parse_key(list)
    elseif type(compute) == "function" and jutil.funcinfo(compute).bytecodes then
        by_marks[mark] = { fields = parse_fields(list, "by"), compute = compute }
    else
        fail("by (fields, function): the second is a %s and none of your own functions",
            refold.type_of(compute))
    end
    return mark
end)

declare("carry", function(list)
    if type(list) ~= "table" then
        fail("carry { NAME = { TYPE = \"field kind\" } } takes a table")
    end
    local names = {}
    for name in pairs(list) do
        names[#names + 1] = expect_text(name, "a name of carry")
    end
    sort(names)
    for _, name in ipairs(names) do
        if type(list[name]) ~= "table" or next(list[name]) == nil then
            fail("carry: `%s` is a table of types: { TYPE = \"field kind\" }", name)
        end
        local types = {}
        for event_type in pairs(list[name]) do
            types[#types + 1] = expect_text(event_type, "a type of carry")
        end
        sort(types)
        for _, event_type in ipairs(types) do
            local field = parse_field(list[name][event_type], true)
            declared.carries[#declared.carries + 1] =
                { name = name, type = event_type, field = field }
        end
    end
end)

local combines = {
    sum = 1, min = 2, max = 3, count = 4, first = 5, last = 6, any = 7, all = 8,
}
declare("combine", function(list)
    if type(list) ~= "table" then
        fail("combine { COLUMN = \"sum\" } takes a table")
    end
    for name, how in pairs(list) do
        if not combines[how] then
            fail("combine: `%s` of %s; there are sum, min, max, count, first, last, any and all",
                tostring(how), tostring(name))
        end
        declared.combine[expect_text(name, "a column of combine")] = combines[how]
    end
end)

declare("index", function(list)
    list = type(list) == "string" and { list } or list
    if type(list) ~= "table" or #list == 0 then
        fail("an index is a column or a list of columns")
    end
    for i = 1, #list do
        expect_text(list[i], "a column of an index")
    end
    declared.indexes[#declared.indexes + 1] = list
end)

declare("expect", function(text)
    refold.take_expect(expect_text(text, "what is expected"))
end)

declare("no_key", function(what)
    if what ~= "ignore" then
        fail("no_key knows \"ignore\" only")
    end
    declared.no_key_ignore = true
end)

declare("all_types", function()
    declared.all_types = true
end)

-- What is left of a call of `on` once its type is taken.
local function on(event_type, ...)
    local fields, third, fn = ...
    if select("#", ...) == 1 then
        fields, fn = {}, fields
    elseif select("#", ...) == 2 then
        fn, third = third, nil
        if by_marks[fields] or fields == EVERY_ROW then
            fields, third = {}, fields
        end
    end
    if expect_text(event_type, "the type of on") == "" or #event_type > 255 then
        fail("on (\"%s\"): a type has 1 to 255 bytes", event_type)
    elseif type(fn) ~= "function" then
        fail("on (\"%s\"): the last argument is a %s; it is the handler: function (row, e) ... end",
            event_type, refold.type_of(fn))
    elseif not jutil.funcinfo(fn).bytecodes then
        fail("on (\"%s\"): the handler is none of your own functions", event_type)
    end
    local handler = {
        type = event_type, fn = fn, fields = parse_fields(fields, "on (\"" .. event_type .. "\")"),
    }
    if third == EVERY_ROW then
        handler.every_row = true
    elseif third ~= nil then
        handler.key = by_marks[third] or fail(
            "on (\"%s\"): between fields and handler there may be by (...) or every_row", event_type)
    end
    declared.handlers[#declared.handlers + 1] = handler
end
declare("on", on)
env.every_row = EVERY_ROW

---- loading ----

local loaded = {} -- of required files

local function compile(source, place)
    while source:find("^\239\187\191") do -- byte order marks
        source = source:sub(4)
    end
    if source:find("^[#\27]") then -- the compiler would skip a line, or take bytecode
        error({ place = place .. ":1", what = "a projection begins with Lua source" }, 0)
    end
    local chunk, reason = loadstring(refold.with_ticks(source), "@" .. place)
    if not chunk then
        local line, what = reason:match("^.-:(%d+): (.*)$")
        error({ place = place .. ":" .. (line or 1), what = what or reason }, 0)
    end
    setfenv(chunk, env)
    check_code(chunk)
    return chunk
end

declare("require", function(name)
    if not expect_text(name, "the name of a file"):find("^[%w_%-]+$") then
        fail("require (\"%s\"): a file beside this one is named without `.lua` and without a folder",
            name)
    end
    if loaded[name] == nil then
        loaded[name] = false
        local source, place = refold.read(name)
        if not source then
            fail("require (\"%s\"): %s", name, place)
        end
        local value = compile(source, place)()
        loaded[name] = value == nil or value
    elseif loaded[name] == false then
        fail("require (\"%s\"): the file requires itself", name)
    end
    return loaded[name]
end)

-- Fields for what the handler may read of e.carried.
local function add_carried(handler, names, computes)
    local seen = {}
    for _, carry in ipairs(declared.carries) do
        local name = "carried." .. carry.name
        if not seen[name] and names.carried and (computes or names[carry.name]) then
            seen[name] = true
            handler.fields[#handler.fields + 1] = {
                source = CARRIED, kind = carry.field.kind, scale = carry.field.scale,
                path = carry.name, name = name, carried = carry.name,
            }
        end
    end
end

local stream_parts = { { source = 1, kind = "text", scale = 0 } }

-- What row.key is made of.
local function parts_of_key(handler)
    local of_types = declared.key and declared.key.of_types
    local key = handler.key or of_types and of_types[handler.type] or declared.key
    if key and key.compute then
        key = declared.key
    end
    return key and key.parts or stream_parts
end

-- The fields that row.key is computed of, once more: under names that no field has, and how they are
-- called in the function, with their places among the handler's.
local function add_computed(handler, fields)
    handler.key_fields = {}
    for i, field in ipairs(fields) do
        local own, seen = {}, {}
        for name, value in pairs(field) do
            own[name], seen[name] = value, value
        end
        own.name = "\1key " .. i
        handler.fields[#handler.fields + 1] = own
        seen.at = #handler.fields
        handler.key_fields[i] = seen
    end
end

-- Fields for row.key, under names that no field has.
local function add_key(handler)
    if handler.every_row then
        return refold.refuse_key(handler)
    elseif handler.key and handler.key.compute then
        return add_computed(handler, handler.key.fields)
    end
    handler.key_names = {}
    for i, part in ipairs(parts_of_key(handler)) do
        local field = { ask = false, name = "\1key " .. i }
        for _, member in ipairs({ "source", "kind", "scale", "rounding", "path" }) do
            field[member] = part[member]
        end
        handler.fields[#handler.fields + 1] = field
        handler.key_names[i] = field.name
    end
end

-- Payload fields that the handler asks about with `has`, and members that it reads.
local function complete_handler(handler)
    local names, computes = names_in(handler.fn)
    for _, name in ipairs({ "date", "year", "month", "day", "hour" }) do
        refold.uses_zones = refold.uses_zones or names[name]
    end
    for _, field in ipairs(handler.fields) do
        field.ask = names.has and (computes or names[field.name])
    end
    add_carried(handler, names, computes)
    for _, name in ipairs(member_order) do -- any other order may differ from state to state
        local member = members[name]
        if computes or names[name] then
            handler.fields[#handler.fields + 1] =
                { source = member[1], kind = member[2], scale = 0, name = name }
        end
    end
end

-- The same for a key that is computed, once: handlers may share it.
local function complete_key(key)
    if key and key.compute and not key.is_complete then
        complete_handler({ fn = key.compute, fields = key.fields })
        refold.check_dates(key.compute, key.fields)
        key.is_complete = true
    end
end

-- Nothing is compiled before all is declared: compiled code changes the bytecode.
function refold.load(source, place)
    jit.off()
    compile(source, place)()
    refold.loading = false
    for _, name in ipairs({ "name", "version", "columns" }) do
        if declared[name] == nil then
            fail("%s: no `%s` is declared", place, name)
        end
    end
    if #declared.handlers == 0 then
        fail("%s: no handler: `on (\"TYPE\", { fields }, function (row, e) ... end)`", place)
    end
    if next(declared.combine) ~= nil then
        refold.prove_handlers()
    end
    for _, handler in ipairs(declared.handlers) do
        complete_key(handler.key)
        complete_handler(handler)
        refold.check_dates(handler.fn, handler.fields, parts_of_key(handler))
        if names_in(handler.fn).key then
            add_key(handler)
        end
    end
    for _, handler in ipairs(declared.handlers) do
        freeze_within(handler.fn)
        if handler.key and handler.key.compute then
            freeze_within(handler.key.compute)
        end
    end
    return declared
end

-- For the chunks that declare more.
refold.declaring = {
    declare = declare, expect_text = expect_text, parse_fields = parse_fields, opcode = opcode,
    reachable = reachable, protos_within = protos_within, compile = compile,
    complete_handler = complete_handler, freeze_within = freeze_within, at_line = at_line,
}
