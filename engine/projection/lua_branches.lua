-- Branches and whole functions of handlers of combined columns; see lua_proof.lua.
--
-- All ways of a function are followed until no more is learnt. A branch that asks what a column was is
-- allowed where it is one of a few forms, which are found as a whole, up to where its ways meet again.
local refold = ...

local fail, declared, env, jutil = refold.fail, refold.declared, refold.env, refold.jutil
local proving = refold.proving
local decode, use, clean, fresh, meet, step, call = proving.decode, proving.use, proving.clean,
    proving.fresh, proving.meet, proving.step, proving.call
local of_column, made, how_of, adds, extreme, nilable = proving.of_column, proving.made,
    proving.how_of, proving.adds, proving.extreme, proving.nilable
local arguments = proving.arguments
local ROW, VAR = proving.ROW, proving.VAR
local type, ipairs, pairs = type, ipairs, pairs
local insert, remove, concat = table.insert, table.remove, table.concat
local MIN, FIRST, ALL = 2, 5, 8

---- branches on what a column was ----

local orders = { ISLT = true, ISGE = true, ISLE = true, ISGT = true }
local copied = { MOV = true, KSTR = true, KSHORT = true, KNUM = true, KPRI = true, KCDATA = true,
    UGET = true, GGET = true, TGETS = true, TGETV = true, TGETB = true, NOT = true, UNM = true,
    LEN = true, CAT = true, POW = true }
for _, name in ipairs({ "ADD", "SUB", "MUL", "DIV", "MOD" }) do
    copied[name .. "VN"], copied[name .. "NV"], copied[name .. "VV"] = true, true, true
end

local function copy_regs(regs)
    local to = {}
    for register, value in pairs(regs) do
        to[register] = value
    end
    return to
end

-- Whether nothing jumps into [first, last] but from within it, or from `but`.
local function is_closed(at, first, last, but)
    for target = first, last do
        for _, from in ipairs(at.jumps[target] or {}) do
            if from ~= but and (from < first or from > last) then
                return false
            end
        end
    end
    return true
end

local flow, visit, is_test
local loads = { KNIL = true, TDUP = true, TNEW = true, FNEW = true, JMP = true }

-- Whether an instruction changes nothing but registers; what it stores into `column` is told.
local function is_quiet(at, regs, ins, column, stored)
    if ins.name == "TSETS" and column and regs[ins.b] == ROW then
        stored(regs[ins.a])
        return jutil.funck(at.proto, -1 - ins.c) == column.name
    elseif ins.name ~= "CALL" and ins.name ~= "CALLM" then
        return copied[ins.name] or loads[ins.name] or is_test(ins)
    end
    local fn, list = regs[ins.a], arguments(regs, ins)
    local called = fn and fn.value
    if called == env[refold.copy_name] and column and list[1] == ROW then
        stored(list[3].event and clean("get", list[3].number, list[4].value))
        return list[2].value == column.name
    end
    for _, value in ipairs(list) do
        if value.kind ~= "clean" and not proving.is_builtin(called) or
            type(value.value) == "function" then
            return false
        end
    end
    return called == env[refold.tick_name] or fn and fn.is_has or proving.is_pure(called)
end

-- Follows all ways through [first, target), which has to do nothing but store into the column, if
-- that; gives the registers at `target`, or nil. `keeps` is the register whose value depends on the
-- way there as it should; what others were given there counts no more.
local function through(at, regs, first, target, keeps, column, stored)
    local inner = {}
    for name, value in pairs(at) do
        inner[name] = value
    end
    inner.states, inner.todo, inner.is_inner = {}, {}, true
    flow(inner, first, regs)
    while #inner.todo > 0 do
        local pc = remove(inner.todo)
        if pc ~= target then
            local state, ins = inner.states[pc], decode(at.proto, pc)
            if pc < first or pc > target or not is_quiet(inner, state, ins, column, stored) then
                return nil
            end
            visit(inner, pc)
        end
    end
    local after = inner.states[target]
    for register = 0, after and keeps ~= "all" and at.size or -1 do
        if after[register] ~= regs[register] and register ~= keeps then
            after[register] = proving.spoil(column or at.asked)
        end
    end
    return after
end

-- A block that does nothing but store `value` (NIL: any clean one) into the column.
local function stores(at, regs, first, target, column, value)
    local fine, any = true, false
    local after = through(at, regs, first, target, nil, column, function(given)
        any = true
        fine = fine and given and given.kind == "clean" and not given.is_nil and
            (value == nil or given == value)
    end)
    return after and fine and any and after
end

-- `if v < row.c then row.c = v end` of a least, and the like: the column and the value that are
-- compared where the block behind the instruction runs when it is right to store; nil otherwise.
local function compared(at, regs, ins)
    local a, d = regs[ins.a], regs[ins.d]
    local below = ins.name == "ISGE" or ins.name == "ISGT" -- the block runs if a < d or a <= d
    if ins.name == "ISGT" or ins.name == "ISLE" then
        below = ins.name == "ISGT"
    end
    local was_first = a and a.kind == "was"
    local of, value = was_first and a or d, was_first and d or a
    if not of or of.kind ~= "was" or not value or value.kind ~= "clean" or
        not extreme(of.column) then
        return nil
    end
    local value_below = below ~= was_first
    if value_below == (how_of(of.column) == MIN) then
        return of.column, value
    end
end

-- The state behind `if COMPARED then row.c = v end` at `pc`, and where that is.
local function store_if_compared(at, regs, pc, column, value)
    local target = decode(at.proto, pc + 1).to
    if target <= pc + 2 or not is_closed(at, pc + 1, target - 1, nil) then
        return nil
    end
    local after = stores(at, regs, pc + 2, target, column, value)
    return after and target, after
end

-- `if row.c == nil or v < row.c then row.c = v end`: behind the first test, at whose jump a block
-- begins that is run where the second comes out right too.
local function store_if_unset_or_compared(at, regs, pc, column)
    local block = decode(at.proto, pc + 1).to
    local test = block - 2
    if test <= pc + 1 or not orders[decode(at.proto, test).name] then
        return nil
    end
    at.asked = column
    local before = through(at, regs, pc + 2, test, "all")
    local of, value
    if before then
        of, value = compared(at, before, decode(at.proto, test))
    end
    local target = decode(at.proto, test + 1).to
    if of ~= column or target <= block or not is_closed(at, pc + 1, target - 1, nil) then
        return nil
    end
    local after = stores(at, regs, block, target, column, value)
    return after and target, after
end

-- What a column of a least or greatest was or, where it was unset, the other value.
local eithers = {}
local function either_of(column, other)
    local name = column.name .. " " .. other.number
    eithers[name] = eithers[name] or { kind = "either", column = column, other = other }
    return eithers[name]
end

-- `row.c or v`, `row.c and v`.
local function either(at, regs, ins, pc)
    local of, target = regs[ins.d], decode(at.proto, pc + 1).to
    local register = ins.mode_a == 1 and ins.a or ins.d
    local column, how = of.column, how_of(of.column)
    local with_or = ins.name == "IST" or ins.name == "ISTC"
    if target <= pc + 2 or with_or == (how == ALL) or not is_closed(at, pc + 1, target - 1, nil) then
        return nil
    end
    at.asked = column
    local after = through(at, regs, pc + 2, target, register)
    local other = after and after[register]
    if not other or other.kind ~= "clean" then
        return nil
    end
    after[register] = of_column(made, "made", column)
    if adds(column) then
        after[register] = of
    elseif extreme(column) then
        after[register] = either_of(column, other)
    end
    return target, after
end

-- The operands of a test that are values.
local function operands(regs, ins)
    return { ins.mode_a == VAR and regs[ins.a] or nil, ins.mode_c == VAR and regs[ins.d] or nil }
end

-- A branch on what a column was: where it ends, and the registers there; nil where it is none of the
-- forms that are known.
local function guarded(at, regs, ins, pc)
    if orders[ins.name] then
        local column, value = compared(at, regs, ins)
        if column and not at.is_inner and not nilable[column.kind] then
            return store_if_compared(at, regs, pc, column, value)
        end
        return nil
    end
    local asks = ins.name == "IST" or ins.name == "ISF"
    local copies = ins.name == "ISTC" or ins.name == "ISFC"
    local is_nil = (ins.name == "ISEQP" or ins.name == "ISNEP") and ins.d == 0
    local of = regs[(asks or copies) and ins.d or ins.a]
    if of.kind ~= "was" or not (asks or copies or is_nil) then
        return nil
    end
    local column, target, after = of.column, nil, nil
    if at.is_inner then
        target = nil -- what is asked within an expression is part of it
    elseif (ins.name == "ISF" or ins.name == "ISEQP") and extreme(column) and nilable[column.kind] then
        target, after = store_if_unset_or_compared(at, regs, pc, column)
    elseif (ins.name == "IST" or ins.name == "ISNEP") and how_of(column) == FIRST then
        target, after = store_if_compared(at, regs, pc, column, nil)
    end
    if not target and (asks or copies) then
        target, after = either(at, regs, ins, pc)
    end
    return target, after
end

---- functions ----

local function jumps_of(at, last)
    local jumps, loops = {}, {}
    for pc = 1, last do
        local ins = decode(at.proto, pc)
        if ins.name == "JMP" or ins.name == "UCLO" or ins.name == "ISNEXT" or ins.name == "FORI" then
            jumps[ins.to] = jumps[ins.to] or {}
            insert(jumps[ins.to], pc)
            local head = ins.to <= last and decode(at.proto, ins.to).name
            if ins.name == "FORI" then
                loops[ins.to - 1] = pc + 1
            elseif head == "ITERC" or head == "ITERN" then
                loops[ins.to + 1] = loops[ins.to + 1] or pc + 1
            end
        end
    end
    at.jumps, at.loops = jumps, loops
end

function flow(at, pc, regs)
    local state = at.states[pc]
    if not state then
        at.states[pc] = copy_regs(regs)
        insert(at.todo, pc)
        return
    end
    local changed = false
    local here = { id = at.id, pc = pc }
    for register = 0, at.size do
        local value = meet(here, register, state[register], regs[register])
        if value ~= state[register] then
            state[register], changed = value, true
        end
    end
    if changed then
        insert(at.todo, pc)
    end
end

function is_test(ins)
    return orders[ins.name] or ins.name:find("^IS[TFEN]") and ins.name ~= "ISNEXT" and
        ins.name ~= "ISTYPE" and ins.name ~= "ISNUM"
end

-- Either way of a test, or behind the whole of it where it asks for what a column was.
local function test(at, regs, ins, pc)
    for _, value in pairs(operands(regs, ins)) do
        if value.kind ~= "clean" then
            local target, after
            if value ~= ROW then
                target, after = guarded(at, regs, ins, pc)
                at.pc = pc
            end
            if not target then
                use(at, value)
            end
            return flow(at, target, after)
        end
    end
    local jumped = regs
    if ins.name == "ISTC" or ins.name == "ISFC" then
        jumped = copy_regs(regs)
        jumped[ins.a] = regs[ins.d]
    end
    flow(at, decode(at.proto, pc + 1).to, jumped)
    flow(at, pc + 2, regs)
end

local function leave(at, regs, ins)
    if ins.name == "CALLT" or ins.name == "CALLMT" then
        call(at, regs, ins)
    elseif at.is_called and ins.name ~= "RET0" then
        local last = ins.name == "RETM" and ins.a + ins.d - 1 or ins.a + ins.d - 2
        for register = ins.a, last do
            use(at, regs[register])
        end
    end
end

local leaves = { CALLT = true, CALLMT = true, RETM = true, RET = true, RET0 = true, RET1 = true }

function visit(at, pc)
    local regs, ins = copy_regs(at.states[pc]), decode(at.proto, pc)
    at.pc = pc
    if leaves[ins.name] then
        leave(at, regs, ins)
    elseif ins.name == "JMP" or ins.name == "UCLO" or ins.name == "ISNEXT" then
        flow(at, ins.to, regs)
    elseif ins.name == "LOOP" then
        flow(at, pc + 1, regs)
    elseif ins.name == "FORI" then
        for register = ins.a, ins.a + 2 do
            use(at, regs[register])
        end
        regs[ins.a + 3] = fresh(at, "for")
        flow(at, ins.to, regs)
        flow(at, pc + 1, regs)
    elseif ins.name == "FORL" or ins.name == "ITERL" then
        if ins.name == "FORL" then
            regs[ins.a + 3] = fresh(at, "for")
        end
        flow(at, at.loops[pc], regs)
        flow(at, pc + 1, regs)
    elseif is_test(ins) then
        test(at, regs, ins, pc)
    else
        step(at, regs, ins)
        flow(at, pc + 1, regs)
    end
end

local proven, functions = {}, 0

-- Follows all ways of the function. `given`: its arguments, of which the row is one. `is_pure`: it has
-- to change nothing.
local function prove(fn, given, is_called, is_pure)
    local info, regs, key = jutil.funcinfo(fn), {}, {}
    for i = 1, info.params do
        local value = given[i]
        if value == ROW then
            regs[i - 1] = ROW
        else
            regs[i - 1] = clean("argument", i, value and value.event and "event" or "")
            regs[i - 1].event = value and value.event
        end
        key[i] = value == ROW and "row" or value and value.event and "event" or "-"
    end
    key = (is_pure and "pure " or "") .. concat(key, " ")
    proven[fn] = proven[fn] or {}
    if proven[fn][key] then
        return
    end
    proven[fn][key] = true
    functions = functions + 1
    local at = { fn = fn, proto = fn, id = functions, pc = 1, states = {}, todo = {}, upvalues = {},
        size = info.stackslots, is_called = is_called, is_pure = is_pure }
    jumps_of(at, info.bytecodes - 1)
    flow(at, 1, regs)
    while #at.todo > 0 do
        visit(at, remove(at.todo))
    end
end

proving.own.prove = prove

-- Of all handlers; called once all is declared.
function refold.prove_handlers()
    proving.check_probes()
    for _, column in ipairs(declared.columns) do
        if column.kind == "list" then
            fail("combine: column %s is a list, and lists do not combine", column.name)
        end
    end
    local event = clean("event")
    event.event = "event"
    for _, handler in ipairs(declared.handlers) do
        local info = jutil.funcinfo(handler.fn)
        if info.params == 0 and info.isvararg then
            fail("on (\"%s\"): where columns combine, a handler names its row: function (row, e)",
                handler.type)
        end
        prove(handler.fn, { ROW, event }, false)
    end
end
