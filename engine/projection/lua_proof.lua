-- Proof that handlers of combined columns do nothing but combine, read off their bytecode when the
-- file is loaded; lua_combine.lua is the second net, while events are folded.
--
-- Such a handler gets an unset row with every event, so it may only do what is the same whatever the
-- row was. Its code is run on what is known of values instead of values: of each register whether it
-- is free of the row ("clean", under a number that equal values share), the row itself, what a column
-- was ("was"), or something made of it that may go back into that column alone ("made"). Branches are
-- all followed, and where ways meet the less is known. A branch on what a column was is allowed in
-- the few forms whose outcome is the same as that of combining (guarded and compared below). What
-- cannot be proven is refused with its line.
local refold = ...

local fail, declared, env = refold.fail, refold.declared, refold.env
local jutil, getupvalue = refold.jutil, debug.getupvalue
local inside = refold.declaring
local band, rshift = bit.band, bit.rshift
local type, pairs, ipairs, next, tostring = type, pairs, ipairs, next, tostring

local SUM, MIN, MAX, COUNT, FIRST, LAST, ANY, ALL = 1, 2, 3, 4, 5, 6, 7, 8
local how_names = { "sum", "min", "max", "count", "first", "last", "any", "all" }

---- instructions ----

-- In the order of LuaJIT 2.1, of which the probes below look up a few.
local names = {}
for name in ([[ISLT ISGE ISLE ISGT ISEQV ISNEV ISEQS ISNES ISEQN ISNEN ISEQP ISNEP ISTC ISFC IST ISF
    ISTYPE ISNUM MOV NOT UNM LEN ADDVN SUBVN MULVN DIVVN MODVN ADDNV SUBNV MULNV DIVNV MODNV ADDVV
    SUBVV MULVV DIVVV MODVV POW CAT KSTR KCDATA KSHORT KNUM KPRI KNIL UGET USETV USETS USETN USETP
    UCLO FNEW TNEW TDUP GGET GSET TGETV TGETS TGETB TGETR TSETV TSETS TSETB TSETM TSETR CALLM CALL
    CALLMT CALLT ITERC ITERN VARG ISNEXT RETM RET RET0 RET1 FORI JFORI FORL IFORL JFORL ITERL IITERL
    JITERL LOOP ILOOP JLOOP JMP]]):gmatch("%u+%d?") do
    names[#names + 1] = name
end

local probes = {
    { "local a, b = 1, 2 if a < b then a = 1 end", 3, "ISGE" },
    { "local a = 1 if a == nil then a = 1 end", 2, "ISNEP" },
    { "local a = 1 a = a or 1", 2, "IST" }, { "local a = 1 local b = a", 2, "MOV" },
    { "local a = 1 a = a + 1", 2, "ADDVN" }, { "local a = 1 a = a - a", 2, "SUBVV" },
    { "local a = 'x'", 1, "KSTR" }, { "local a = nil", 1, "KPRI" }, { "return x", 1, "GGET" },
    { "local a = 1 return a.x", 2, "TGETS" }, { "local a = 1 a.x = a", 2, "TSETS" },
    { "local a = 1 a()", 3, "CALL" }, { "local a = 1 return a()", 3, "CALLT" },
    { "for i = 1, 2 do end", 4, "FORI" }, { "local a = 1", 2, "RET0" }, { "::a:: goto a", 2, "JMP" },
}

local function check_probes()
    for _, probe in ipairs(probes) do
        if names[inside.opcode(probe[1], probe[2]) + 1] ~= probe[3] then
            fail("the code of this LuaJIT is not known")
        end
    end
end

-- Registers between a function that is called and its first argument, less one.
local function call_gap()
    local proto = loadstring("local f, x = 1, 2 f(x)")
    local function register(pc)
        return band(rshift(jutil.funcbc(proto, pc), 8), 0xff)
    end
    return register(4) - register(3) - 1
end
local GAP = call_gap()

-- What kind of operand each is, and the class of the instruction (lj_bc.h).
local VAR, READ_BASE = 3, 4
local function decode(proto, pc)
    local ins, mode = jutil.funcbc(proto, pc)
    local at = { name = names[band(ins, 0xff) + 1], a = band(rshift(ins, 8), 0xff),
        b = rshift(ins, 24), c = band(rshift(ins, 16), 0xff), d = rshift(ins, 16) }
    at.mode_a, at.mode_b, at.mode_c = band(mode, 7), band(rshift(mode, 3), 15),
        band(rshift(mode, 7), 15) -- of c, or of d where there is no b
    at.to = pc + 1 + at.d - 0x8000
    return at
end

---- values ----

local function refuse(at, ...)
    return inside.at_line(at.proto, at.pc, ...)
end

local ROW = { kind = "row" }
local was, made, spoilt = {}, {}, {} -- by column

local numbers, count = {}, 0 -- of clean values by what they are

local function clean(...)
    local name = table.concat({ ... }, "\0")
    if not numbers[name] then
        count = count + 1
        numbers[name] = { kind = "clean", number = count }
    end
    return numbers[name]
end

-- One that nothing else is equal to.
local function fresh(at, register)
    return clean("at", at.id, at.pc, register)
end

local function known(value)
    count = count + 1
    return { kind = "clean", number = count, value = value }
end

local function of_column(list, kind, column)
    list[column.name] = list[column.name] or { kind = kind, column = column }
    return list[column.name]
end

local nilable = { time = true, date = true, text = true, json = true }

local function how_of(column)
    return declared.combine[column.name]
end

local function adds(column)
    return how_of(column) == SUM or how_of(column) == COUNT
end

local function extreme(column)
    return how_of(column) == MIN or how_of(column) == MAX
end

-- Where a column reads as nothing when it is unset, so that giving it back is giving nothing.
local function gives_back(column)
    local how = how_of(column)
    return how == ANY or how == ALL or how ~= LAST and not adds(column) and nilable[column.kind]
end

-- What should stand where a column's value was used.
local function advice(column)
    local name, how, kind = column.name, how_of(column), nilable[column.kind]
    if how == FIRST and kind or how == ANY then
        return ("row.%s = row.%s or ..."):format(name, name)
    elseif how == ALL then
        return ("row.%s = row.%s and ..."):format(name, name)
    elseif extreme(column) and not kind then
        local least = how_names[how]
        return ("row.%s = math.%s (row.%s, ...)"):format(name, least, name)
    elseif adds(column) then
        return ("row.%s = row.%s + ..."):format(name, name)
    end
    return ("row.%s = ..."):format(name)
end

local function refuse_was(at, column)
    if how_of(column) == LAST then
        refuse(at, "column %s is combined, what was last is not known here", column.name)
    end
    refuse(at, "column %s is combined, what it was is not known here; write %s", column.name,
        advice(column))
end

-- The value, where any may stand that is free of the row.
local function use(at, value)
    if value and value.kind == "row" then
        refuse(at, "where columns combine, the row is for reading and writing its columns by name")
    elseif value and value.kind ~= "clean" then
        refuse_was(at, value.column)
    end
    return value
end

-- Whether a value holds no functions: a text, a number, or what JSON made.
local function is_plain(value)
    return value and (value.plain or type(value.value) == "string" or type(value.value) == "number")
end

-- What a column was, by whatever way: nothing can be done with it.
local function spoil(column)
    return of_column(spoilt, "spoilt", column)
end

local function meet(at, register, a, b)
    if a == b then
        return a
    end
    local column = a and a.column or b and b.column
    if not column then
        if a == ROW or b == ROW then
            return ROW -- maybe; what is done to it is then done to the row
        end
        local value = fresh(at, (is_plain(a) and is_plain(b) and "plain" or "meet") .. register)
        value.plain = is_plain(a) and is_plain(b)
        return value
    end
    for _, value in ipairs({ a or ROW, b or ROW }) do
        if value.column and value.column ~= column or value.kind == "row" or
            value.kind == "spoilt" or value.kind == "either" or adds(column) or
            value.kind == "was" and not gives_back(column) then
            return spoil(column)
        end
    end
    return of_column(made, "made", column)
end

---- columns ----

local function column_of(at, name)
    if name == "exists" then
        refuse(at, "row.exists is not known where columns combine")
    elseif name == "delete" then
        refuse(at, "rows of combined columns cannot be deleted")
    end
    return declared.column_by_name[name] or
        refuse(at, "the row has no column `%s`%s", tostring(name),
            refold.nearest(tostring(name), declared.columns))
end

-- A sum is one thing however often it is read: whoever had it has it no more.
local function take_sum(regs, column, but)
    for register, value in pairs(regs) do
        if value.column == column and register ~= but then
            regs[register] = spoil(column)
        end
    end
end

local function read_column(at, regs, name)
    if name == "key" then
        return clean("key")
    end
    local column = column_of(at, name)
    local how = how_of(column)
    if not how then
        return fresh(at, "column")
    elseif how == LAST or how == FIRST and not nilable[column.kind] then
        refuse_was(at, column)
    elseif adds(column) then
        take_sum(regs, column)
    end
    return of_column(was, "was", column)
end

local function write_column(at, name, value)
    if name == "key" then
        refuse(at, "the row has no column `key`")
    end
    local column = column_of(at, name)
    local how = how_of(column)
    value = value or clean("unset")
    if not how then
        return
    elseif value.kind == "row" then
        use(at, value)
    elseif value.kind == "clean" then
        if adds(column) then
            refuse(at, "column %s is combined; write %s and not what it is to be", column.name,
                advice(column))
        elseif value.is_nil then
            refuse(at, "column %s is combined, and nil gives nothing to it", column.name)
        end
        return
    elseif value.column ~= column and adds(column) then
        refuse(at, "column %s is combined; write %s and not what it is to be", column.name,
            advice(column))
    elseif value.column ~= column or value.kind == "spoilt" or value.kind == "either" or
        value.kind == "was" and not adds(column) and not gives_back(column) then
        refuse_was(at, value.column)
    end
end

---- calls ----

local own = {} -- lua_branches.lua puts `prove` here

-- The arguments of a call as a list; those that another call gives are clean.
local function arguments(regs, ins)
    local list, fixed = {}, ins.c - 1
    if ins.name == "CALLM" then
        fixed = ins.c
    elseif ins.name == "CALLT" then
        fixed = ins.d - 1
    elseif ins.name == "CALLMT" then
        fixed = ins.d
    end
    for i = 1, fixed do
        list[i] = regs[ins.a + GAP + i] or clean("unset")
    end
    return list, ins.name == "CALLM" or ins.name == "CALLMT"
end

-- row.NAME = e.NAME, as lua_closed.lua writes a plain copy.
local function copy(at, regs, list)
    local row, to, event, from = list[1], list[2].value, list[3], list[4].value
    local value = event == ROW and read_column(at, regs, from) or
        clean("get", use(at, event).number, event.event and from or at.pc)
    if row == ROW then
        write_column(at, to, value)
    else
        use(at, value)
    end
end

-- math.min and math.max of what a column was. `more`: clean ones follow.
local function extreme_of(at, list, how, more)
    local column, any = nil, more
    for _, value in ipairs(list) do
        any = any or value.kind == "clean"
        if value.kind ~= "clean" then
            if value.kind == "row" or how_of(value.column) ~= how or value.kind == "spoilt" or
                column and column ~= value.column or
                value.kind == "was" and nilable[value.column.kind] then
                use(at, value)
            end
            column = value.column
        end
    end
    for _, value in ipairs(list) do
        local found = value.kind ~= "either" or value.other.value ~= nil
        for _, other in ipairs(list) do
            found = found or other == value.other
        end
        if not found or not any then
            refuse_was(at, column)
        end
    end
    return of_column(made, "made", column)
end

local pure, plain = {}, {} -- functions that change nothing, and of these those that give plain values

local function list_pure()
    local lists = { refold.thaw(env.math), refold.closed_string }
    for _, list in ipairs(lists) do
        for _, fn in pairs(list) do
            pure[fn], plain[fn] = true, true
        end
    end
    for name in ("tostring tonumber type round muldiv rescale money date year month day hour"):gmatch("%a+") do
        pure[env[name]], plain[env[name]] = true, true
    end
    for name in ("assert error select unpack next ipairs pairs"):gmatch("%a+") do
        pure[env[name]] = true
    end
end

local function is_own(fn)
    local info = jutil.funcinfo(fn)
    return info.bytecodes and info.source:sub(1, 1) == "@"
end

-- One of the file's own is pure where it changes no table and calls pure functions only.
local function is_pure(fn)
    if next(pure) == nil then
        list_pure()
    end
    if type(fn) == "function" and pure[fn] == nil and is_own(fn) then
        pure[fn] = true -- as long as it is looked at
        pure[fn] = pcall(own.prove, fn, {}, false, true)
    end
    return fn ~= nil and pure[fn]
end

local function gives_plain(fn)
    return is_pure(fn) and plain[fn]
end

-- A function of the projection's own that is given the row.
local function call_own(at, regs, fn, list)
    local given = {}
    for i, value in ipairs(list) do
        given[i] = value
        if value ~= ROW then
            use(at, value)
        elseif i > jutil.funcinfo(fn).params then
            use(at, value)
        end
    end
    own.prove(fn, given, true)
    for _, column in ipairs(declared.columns) do
        if adds(column) then
            take_sum(regs, column)
        end
    end
end

local function call(at, regs, ins)
    local fn, list, more = use(at, regs[ins.a]), nil, nil
    list, more = arguments(regs, ins)
    local called, tainted = fn and fn.value, false
    for _, value in ipairs(list) do
        tainted = tainted or value.kind ~= "clean"
    end
    if at.is_pure and called ~= env[refold.tick_name] and not is_pure(called) then
        refuse(at, "calls what is not known to be pure")
    end
    local result = fresh(at, "call")
    result.plain = gives_plain(called)
    if called == env[refold.copy_name] then
        copy(at, regs, list)
    elseif tainted and (called == env.math.min or called == env.math.max) then
        result = extreme_of(at, list, called == env.math.min and MIN or MAX, more)
    elseif tainted and type(called) == "function" and is_own(called) then
        call_own(at, regs, called, list)
    else
        for _, value in ipairs(list) do
            if value == ROW then
                refuse(at, "where columns combine, the row is given to functions of the file's own only")
            end
            use(at, value)
        end
    end
    for register = ins.a, 255 do
        regs[register] = nil
    end
    local returns = ins.name == "CALL" or ins.name == "CALLM"
    if returns and ins.b == 2 then
        regs[ins.a] = result
        return
    end
    use(at, result)
    for register = ins.a, returns and ins.a + ins.b - 2 or 0 do
        regs[register] = fresh(at, register)
    end
end

---- single instructions ----

local steps = {}

function steps.MOV(_, regs, ins)
    regs[ins.a] = regs[ins.d]
end

function steps.KPRI(_, regs, ins)
    regs[ins.a] = ins.d == 0 and clean("nil") or clean("constant", ins.d)
    regs[ins.a].is_nil = ins.d == 0
    if ins.d > 0 then
        regs[ins.a].value = ins.d == 2
    end
end

function steps.KNIL(_, regs, ins)
    for register = ins.a, ins.d do
        regs[register] = clean("nil")
        regs[register].is_nil = true
    end
end

function steps.KSTR(at, regs, ins)
    regs[ins.a] = clean("text", jutil.funck(at.proto, -1 - ins.d))
    regs[ins.a].value = jutil.funck(at.proto, -1 - ins.d)
end

function steps.KSHORT(_, regs, ins)
    local value = ins.d >= 0x8000 and ins.d - 0x10000 or ins.d
    regs[ins.a] = clean("number", value)
    regs[ins.a].value = value
end

function steps.KNUM(at, regs, ins)
    local value = jutil.funck(at.proto, ins.d)
    regs[ins.a] = clean("number", ("%.17g"):format(value))
    regs[ins.a].value = value
end

function steps.UGET(at, regs, ins)
    local _, value = getupvalue(at.fn, ins.d + 1)
    at.upvalues[ins.d] = at.upvalues[ins.d] or known(value)
    regs[ins.a] = at.upvalues[ins.d]
end

function steps.GGET(at, regs, ins)
    local name = jutil.funck(at.proto, -1 - ins.d)
    regs[ins.a] = clean("global", name)
    regs[ins.a].value = env[name]
end

function steps.FNEW(at, regs, ins)
    local inner = jutil.funck(at.proto, -1 - ins.d)
    inside.protos_within(inner, function(proto)
        if jutil.funcinfo(proto).upvalues > 0 then
            refuse(at, "where columns combine, a function inside of a handler uses none of its "
                .. "variables; write it outside")
        end
    end)
    regs[ins.a] = fresh(at, "function")
end

function steps.TGETS(at, regs, ins)
    local object, name = regs[ins.b], jutil.funck(at.proto, -1 - ins.c)
    if object == ROW then
        local value = read_column(at, regs, name)
        regs[ins.a] = value
        return
    end
    object = use(at, object) or fresh(at, "unset")
    local held = object.value
    if is_plain(object) and refold.closed_string[name] then
        local value = clean("method", name)
        value.value = refold.closed_string[name]
        regs[ins.a] = value
    elseif type(held) == "table" or type(held) == "userdata" then
        local value = clean("member", object.number, name)
        value.value = held[name]
        regs[ins.a] = value
    elseif object.event then
        local value = clean("get", object.number, name)
        value.event = object.event == "event" and name == "carried" and "carried"
        value.is_has = object.event == "event" and name == "has"
        value.plain = true
        regs[ins.a] = value
    else
        regs[ins.a] = fresh(at, "member")
    end
end

function steps.TSETS(at, regs, ins)
    if regs[ins.b] == ROW then
        write_column(at, jutil.funck(at.proto, -1 - ins.c), regs[ins.a])
        return
    end
    use(at, regs[ins.b])
    use(at, regs[ins.a])
end

-- Numbers of one class of arithmetic; `a` and `b` are values or constants.
local function arithmetic(at, regs, ins, added, subtracted)
    local first, second = regs[ins.b], regs[ins.c]
    if ins.mode_c ~= VAR then
        second = clean("constant", ins.c, at.id)
    end
    if ins.name:sub(4) == "NV" then
        first, second = second, first
    end
    local sum = first and first.column and first or second and second.column and second
    local other = sum == first and second or first
    if sum and sum.kind == "was" and adds(sum.column) and other and other.kind == "clean" and
        (added or subtracted and sum == first) then
        take_sum(regs, sum.column)
        regs[ins.a] = sum
        return
    end
    use(at, other)
    first, second = use(at, first) or fresh(at, 1), use(at, second) or fresh(at, 2)
    regs[ins.a] = clean(ins.name, first.number, second.number)
    regs[ins.a].plain = true
end

for _, kind in ipairs({ "VN", "NV", "VV" }) do
    steps["ADD" .. kind] = function(at, regs, ins) arithmetic(at, regs, ins, true, false) end
    steps["SUB" .. kind] = function(at, regs, ins) arithmetic(at, regs, ins, false, true) end
    for _, name in ipairs({ "MUL", "DIV", "MOD" }) do
        steps[name .. kind] = function(at, regs, ins) arithmetic(at, regs, ins, false, false) end
    end
end

steps.CALL, steps.CALLM = call, call

function steps.ITERC(at, regs, ins)
    for register = ins.a - 3, ins.a - 1 do
        use(at, regs[register])
    end
    for register = ins.a, 255 do
        regs[register] = nil
    end
    for register = ins.a, ins.a + ins.b - 2 do
        regs[register] = fresh(at, register)
    end
end
steps.ITERN = steps.ITERC

function steps.VARG(at, regs, ins)
    for register = ins.a, ins.b > 1 and ins.a + ins.b - 2 or ins.a do
        regs[register] = fresh(at, register)
    end
end

function steps.TSETM(at, regs, ins)
    use(at, regs[ins.a - 1])
end

-- Any other: what it reads has to be clean, and what it makes is.
local function step(at, regs, ins)
    if at.is_pure and ins.name:find("^TSET") then
        refuse(at, "changes a table")
    end
    if steps[ins.name] then
        return steps[ins.name](at, regs, ins)
    end
    if ins.mode_a == VAR then
        use(at, regs[ins.a])
    end
    if ins.mode_b == READ_BASE then
        for register = ins.b, ins.c do
            use(at, regs[register])
        end
    elseif ins.mode_b == VAR then
        use(at, regs[ins.b])
    end
    if ins.mode_c == VAR then
        use(at, regs[ins.mode_b == 0 and ins.d or ins.c])
    end
    if ins.mode_a == 1 or ins.mode_a == 2 then
        regs[ins.a] = fresh(at, "step")
    end
end

-- For lua_branches.lua and lua_reads.lua.
refold.proving = {
    call_gap = GAP,
    decode = decode, use = use, clean = clean, fresh = fresh, meet = meet, step = step, call = call,
    arguments = arguments, is_pure = is_pure, spoil = spoil,
    is_builtin = function(fn) return is_pure(fn) and not is_own(fn) end,
    of_column = of_column, made = made, how_of = how_of, adds = adds, extreme = extreme,
    nilable = nilable, ROW = ROW, VAR = VAR, check_probes = check_probes, own = own,
}
