-- Events' own evolution in Lua: `rename`, `upcast`, `schemas` and `evolution`, in a projection or in
-- a file of their own; the tables of evolution.h that come of them, and the loop that runs upcasters.
--
-- An upcaster gets the event alone, and assigns fields to it. Which these are is found in its
-- bytecode. One that does nothing but copy fields and assign constants is no function to the engine:
-- its moves are resolved when a type is bound, and cost nothing.
local refold = ...

local ffi, fail, env, declared, cursor = refold.ffi, refold.fail, refold.env, refold.declared,
    refold.cursor
local inside, drive, jutil = refold.declaring, refold.driving, refold.jutil
local type, ipairs, pairs, tonumber, tostring, concat, floor, select = type, ipairs, pairs,
    tonumber, tostring, table.concat, math.floor, select
local band, rshift, sort = bit.band, bit.rshift, table.sort
local declare, expect_text = inside.declare, inside.expect_text

ffi.cdef [[
typedef struct {
    int kind;
    union { int64_t number; double real; bool truth; refold_text text; } as;
} refold_assigned;
typedef struct { const char *from, *to; } refold_rename;
typedef struct {
    const char *to, *from;
    bool typed, optional;
    int kind;
    uint8_t scale, rounding;
    refold_assigned fallback;
} refold_upcast_move;
typedef struct {
    const char *type;
    int64_t schema;
    const refold_upcast_move *moves;
    uint32_t move_count;
    const refold_field *fields;
    uint32_t field_count, event_size;
    const char *const *assigned;
    uint32_t assigned_count;
} refold_upcast;
typedef struct {
    const char *type;
    const int64_t *schemas;
    uint32_t schema_count;
} refold_accepted;
typedef struct {
    const char *name;
    const refold_rename *renames;
    const refold_upcast *upcasts;
    const refold_accepted *accepted;
    uint32_t rename_count, upcast_count, accepted_count;
    const void *ops;
    void *ops_arg;
} refold_evolution;
typedef struct {
    const char *events;
    size_t event_size;
    uint32_t count;
    refold_assigned **assigned;
    void *text;
    uint32_t failed;
} refold_batch;
]]
refold.evolution_sizes = ffi.sizeof("refold_evolution") + 1000 * ffi.sizeof("refold_upcast") +
    1000000 * ffi.sizeof("refold_upcast_move") + 1000000000 * ffi.sizeof("refold_batch")

-- rf_assigned_kind
local NIL, INT, FLOAT, BOOL, TEXT, JSON = 1, 2, 3, 4, 5, 6

---- declarations ----

local function expect_schema(value, what)
    if type(value) ~= "number" or value < 1 or value >= 0x7fffffff or value % 1 ~= 0 then
        fail("%s: a schema is a whole number, 1 and up", what)
    end
    return value
end

declare("rename", function(from, to)
    declared.renames[#declared.renames + 1] =
        { from = expect_text(from, "the old name"), to = expect_text(to, "the new name") }
end)

declare("schemas", function(of, ...)
    local list = {}
    for i = 1, select("#", ...) do
        list[i] = expect_schema(select(i, ...), "schemas")
    end
    if #list == 0 then
        fail("schemas (TYPE, SCHEMA, ...): which are taken as they are")
    end
    declared.schemas[#declared.schemas + 1] =
        { type = expect_text(of, "the type of schemas"), list = list }
end)

declare("upcast", function(of, schema, fields, fn)
    local what = ("upcast (\"%s\")"):format(expect_text(of, "the type of upcast"))
    expect_schema(schema, what)
    if fn == nil then
        fields, fn = {}, fields
    end
    if type(fn) ~= "function" or not jutil.funcinfo(fn).bytecodes then
        fail("%s: the last argument is a %s; it is the upcaster: function (e) ... end", what,
            refold.type_of(fn))
    end
    declared.upcasts[#declared.upcasts + 1] =
        { type = of, schema = schema, fields = inside.parse_fields(fields, what), fn = fn }
end)

declare("evolution", function(file)
    local name = expect_text(file, "the file of evolution"):match("^([%w_%-]+)%.lua$")
    if not name then
        fail("evolution (\"%s\"): it names a file beside this one: \"evolution.lua\"", file)
    end
    env.require(name)
end)

---- what an upcaster assigns ----

local opcode = inside.opcode
local op = {
    tgets = opcode("local a = 1 return a.x", 2),
    tsets = opcode("local a, b = 1, 2 a.x = b", 3),
    mov = opcode("local a = 1 local b = a", 2),
    ist = opcode("local a = 1 a.x = a.x or 'w'", 3),
    jmp = opcode("local a = 1 a.x = a.x or 'w'", 4),
    kstr = opcode("local a = 'x'", 1),
    kshort = opcode("local a = 1", 1),
    knum = opcode("local a = 1.5", 1),
    kpri = opcode("local a = true", 1),
    ret0 = opcode("local a = 1", 2),
    gget = opcode("return x", 1),
}

local function decode(proto, pc)
    local ins = jutil.funcbc(proto, pc)
    return band(ins, 0xff), band(rshift(ins, 8), 0xff), rshift(ins, 24), band(rshift(ins, 16), 0xff),
        rshift(ins, 16)
end

-- The names that a function sets, put into `names`: of the upcaster itself only those of its event,
-- which is in register 0, unless that is copied; of others all. One too many does no harm.
local function names_set(proto, own, names)
    local last = jutil.funcinfo(proto).bytecodes - 1
    for pc = 1, last do
        local code, _, _, _, d = decode(proto, pc)
        own = own and not (code == op.mov and d == 0)
    end
    for pc = 1, last do
        local code, _, b, c = decode(proto, pc)
        if code == op.tsets and (not own or b == 0) then
            names[jutil.funck(proto, -1 - c)] = true
        end
    end
end

-- Sorted, so that all states agree.
local function assigned_by(upcast)
    local names, list = {}, {}
    inside.reachable(upcast.fn, function(fn)
        inside.protos_within(fn, function(proto)
            names_set(proto, proto == upcast.fn, names)
        end)
    end, {})
    for name in pairs(names) do
        if refold.members[name] then
            fail("upcast of %s %d: the event's own `%s` cannot be assigned", upcast.type,
                upcast.schema, name)
        end
        list[#list + 1] = name
    end
    sort(list)
    return list
end

local function field_named(upcast, name)
    for _, field in ipairs(upcast.fields) do
        if field.name == name then
            return field
        end
    end
end

-- The path of what is assigned under a name: that of the field that is called so, or the name.
local function path_of(upcast, name)
    local field = field_named(upcast, name)
    return field and field.path or name
end

---- upcasters that only move ----

local numbers = { int = true, decimal = true, float = true }
local movable = { int = true, decimal = true, float = true, bool = true, text = true, time = true,
    date = true }

-- The constant that an instruction loads, as { kind, value }; nil if it is none.
local function constant_at(proto, pc)
    local code, a, _, _, d = decode(proto, pc)
    if code == op.kstr then
        return { TEXT, jutil.funck(proto, -1 - d) }, a
    elseif code == op.kshort then
        return { INT, d >= 0x8000 and d - 0x10000 or d }, a
    elseif code == op.knum then
        local value = jutil.funck(proto, d)
        return { floor(value) == value and value < 0x1p53 and value > -0x1p53 and INT or FLOAT,
            value }, a
    elseif code == op.kpri then
        return d == 0 and { NIL } or { BOOL, d == 2 }, a
    end
end

-- A copy as a move: what e.NAME gives where the field is missing is a part of it.
local function copy_of(field, fallback)
    local move = { from = field.path, kind = field.kind, scale = field.scale,
        rounding = field.rounding, optional = field.optional or false }
    if numbers[field.kind] then
        move.fallback = { INT, 0 }
    elseif field.kind == "bool" then
        move.fallback = { BOOL, false }
    else
        move.fallback = fallback
    end
    return move
end

-- One statement at `pc`: its move and the place of the next one; nil where it is none.
local function move_at(upcast, proto, pc)
    local code, a, b, c = decode(proto, pc)
    local move
    if code == op.tgets and b == 0 and a ~= 0 then
        local field = field_named(upcast, jutil.funck(proto, -1 - c))
        local fallback
        if not field or field.source ~= 0 or not movable[field.kind] then
            return nil
        end
        local next_code, _, _, _, d = decode(proto, pc + 1)
        if next_code == op.ist and d == a then
            local jump, _, _, _, to = decode(proto, pc + 2)
            local constant, register = constant_at(proto, pc + 3)
            if jump ~= op.jmp or to ~= 0x8001 or not constant or register ~= a or
                field.kind == "bool" then
                return nil
            end
            fallback = constant
            pc = pc + 3
        end
        move = copy_of(field, fallback)
    else
        local constant, register = constant_at(proto, pc)
        if not constant or register == 0 then
            return nil
        end
        a = register
        move = { fallback = constant }
    end
    local set, value, object, name = decode(proto, pc + 1)
    if set ~= op.tsets or value ~= a or object ~= 0 then
        return nil
    end
    move.name = jutil.funck(proto, -1 - name)
    return move, pc + 2
end

-- The moves of an upcaster; nil where it does anything else, or reads what it assigned before.
local function moves_of(upcast)
    local proto, pc, moves = upcast.fn, 1, {}
    if jutil.funcinfo(proto).params ~= 1 then
        return nil
    end
    if decode(proto, 1) == op.gget then
        pc = 3 -- the tick
    end
    local last = jutil.funcinfo(proto).bytecodes - 1
    while pc < last do
        local move, after = move_at(upcast, proto, pc)
        if not move then
            return nil
        end
        move.to = path_of(upcast, move.name)
        for _, before in ipairs(moves) do
            if before.to == move.from or before.to == move.to then
                return nil
            end
        end
        moves[#moves + 1] = move
        pc = after
    end
    return pc == last and decode(proto, pc) == op.ret0 and #moves > 0 and moves or nil
end

---- the event that an upcaster changes ----

local now = ffi.new("struct { refold_assigned **assigned; }")
local keep, text_at = drive.keep, drive.text_at
local LIMIT = 9007199254740992LL
local of_json = { kind = "json" }

local function put(to, value, name)
    local kind = type(value)
    if kind == "number" then
        if floor(value) == value and value < 0x1p53 and value > -0x1p53 then
            to.kind, to.as.number = INT, value
        else
            to.kind, to.as.real = FLOAT, value
        end
    elseif kind == "string" then
        to.kind, to.as.text.data, to.as.text.size = TEXT, keep(value), #value
    elseif kind == "nil" then
        to.kind = NIL
    elseif kind == "boolean" then
        to.kind, to.as.truth = BOOL, value
    elseif refold.is_integer(value) then
        to.kind, to.as.number = INT, value
    elseif refold.type_of(value) == "table" then
        local text = refold.column_text(value, of_json)
        to.kind, to.as.text.data, to.as.text.size = JSON, keep(text), #text
    else
        fail("`%s` cannot become a %s", name, refold.type_of(value))
    end
end

local function get(from)
    local kind = from.kind
    if kind == INT then
        local value = from.as.number
        if value >= LIMIT or value <= -LIMIT then
            return value
        end
        return tonumber(value)
    elseif kind == FLOAT then
        return from.as.real
    elseif kind == BOOL then
        return from.as.truth
    elseif kind == TEXT then
        return text_at(from.as.text.data, from.as.text.size)
    elseif kind == JSON then
        return refold.from_json(text_at(from.as.text.data, from.as.text.size))
    end
end

-- "if name == 'a' then ... end" for each, with its number in place of K.
local function chain(list, code)
    local parts = {}
    for i, name in ipairs(list) do
        parts[i] = ("if name == %q then %s end"):format(name, (code:gsub("K", i - 1)))
    end
    return concat(parts, "\n")
end

local function event_of(upcast)
    local more = { now = now, put = put, get = get, tostring = tostring }
    local assigned = upcast.names
    return drive.make_event(upcast, {
        what = ("upcast of %s %d"):format(upcast.type, upcast.schema),
        assigned = drive.generate([[return function(name)
            ]] .. chain(assigned, [[local from = now.assigned[K] + cursor.at
                if from.kind ~= 0 then return true, get(from) end]]) .. [[

            return false end]], more),
        newindex = drive.generate([[return function(_, name, v)
            ]] .. chain(assigned, [[put(now.assigned[K] + cursor.at, v, name) return]]) .. [[

            fail("`%s` is assigned under a name that is computed", tostring(name)) end]], more),
    })
end

---- tables ----

local anchor, c_text = drive.anchor, drive.c_text

local function put_constant(to, constant)
    if not constant then
        return
    end
    to.kind = constant[1]
    if to.kind == INT then
        to.as.number = constant[2]
    elseif to.kind == FLOAT then
        to.as.real = constant[2]
    elseif to.kind == BOOL then
        to.as.truth = constant[2]
    elseif to.kind == TEXT then
        to.as.text.data, to.as.text.size = c_text(constant[2]), #constant[2]
    end
end

local function moves_table(moves)
    local array = anchor("refold_upcast_move[?]", #moves)
    for i, move in ipairs(moves) do
        local to = array[i - 1]
        to.to = c_text(move.to)
        if move.from then
            to.from, to.typed = c_text(move.from), true
            to.kind, to.scale = drive.kind_numbers[move.kind], move.scale
            to.rounding, to.optional = move.rounding or 0, move.optional
        end
        put_constant(to.fallback, move.fallback)
    end
    return array
end

-- An upcaster's part of the tables; gives what runs it, or nil for moves.
local function fill_upcast(to, upcast)
    to.type, to.schema = c_text(upcast.type), upcast.schema
    if upcast.moves then
        to.moves, to.move_count = moves_table(upcast.moves), #upcast.moves
        return nil
    end
    local event, struct = event_of(upcast)
    local assigned = anchor("const char *[?]", #upcast.names)
    for i, name in ipairs(upcast.names) do
        assigned[i - 1] = c_text(path_of(upcast, name))
    end
    to.fields, to.field_count = drive.fields_of(upcast.fields, struct), #upcast.fields
    to.event_size = #upcast.fields > 0 and ffi.sizeof(struct) or 0
    to.assigned, to.assigned_count = assigned, #upcast.names
    return { fn = upcast.fn, event = event }
end

local running = {}

-- The tables, or nil where nothing was declared.
local function make_tables()
    local tables = anchor("refold_evolution[?]", 1)[0]
    local renames = anchor("refold_rename[?]", #declared.renames)
    for i, rename in ipairs(declared.renames) do
        renames[i - 1].from, renames[i - 1].to = c_text(rename.from), c_text(rename.to)
    end
    local accepted = anchor("refold_accepted[?]", #declared.schemas)
    for i, entry in ipairs(declared.schemas) do
        local list = anchor("int64_t[?]", #entry.list)
        for k, schema in ipairs(entry.list) do
            list[k - 1] = schema
        end
        accepted[i - 1].type, accepted[i - 1].schemas = c_text(entry.type), list
        accepted[i - 1].schema_count = #entry.list
    end
    local upcasts = anchor("refold_upcast[?]", #declared.upcasts)
    for i, upcast in ipairs(declared.upcasts) do
        running[i] = fill_upcast(upcasts[i - 1], upcast) or false
    end
    tables.renames, tables.rename_count = renames, #declared.renames
    tables.accepted, tables.accepted_count = accepted, #declared.schemas
    tables.upcasts, tables.upcast_count = upcasts, #declared.upcasts
    return tables
end

-- Called once the file is loaded: the tables' address, or nothing.
function refold.make_evolution()
    if #declared.renames + #declared.schemas + #declared.upcasts == 0 then
        return nil
    end
    for _, upcast in ipairs(declared.upcasts) do
        inside.complete_handler(upcast)
        refold.check_dates(upcast.fn, upcast.fields)
        inside.freeze_within(upcast.fn)
        upcast.moves = moves_of(upcast)
        upcast.names = upcast.moves and {} or assigned_by(upcast)
    end
    local tables = make_tables()
    return refold.give_evolution(tonumber(ffi.cast("uintptr_t", ffi.cast("void *", tables))))
end

-- A file that declares nothing else.
function refold.load_evolution(source, place)
    inside.compile(source, place)()
    refold.loading = false
    if declared.name or declared.columns or #declared.handlers > 0 then
        fail("%s: a file of `rename`, `upcast` and `schemas` declares no projection", place)
    elseif #declared.renames + #declared.schemas + #declared.upcasts == 0 then
        fail("%s: no `rename`, `upcast` or `schemas` is declared", place)
    end
end

-- Runs upcaster `index` over a batch.
function refold.run_upcast(index, address)
    local batch, upcast = ffi.cast("refold_batch *", address), running[index + 1]
    local fn, event = upcast.fn, upcast.event
    local events, size = batch.events, batch.event_size
    now.assigned = batch.assigned
    refold.forget()
    for i = 0, batch.count - 1 do
        cursor.at, cursor.event = i, events + i * size
        fn(event)
    end
end
