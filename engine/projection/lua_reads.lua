-- What the code of a function tells of how it reads its row and its event, when the file is loaded.
--
-- Dates and times are both numbers to a handler, so `month (e.day)` of a date would be the month of
-- some moment in 1970 and never fail. Where the argument of a calendar function is a field or column,
-- read there or held by a local, its kind is known, and a date without "days" is refused with its
-- line. It is followed into the file's own functions that are given it. What comes out of these, or of
-- branches, is not followed.
local refold = ...

local declared, env, jutil = refold.declared, refold.env, refold.jutil
local at_line, proving = refold.declaring.at_line, refold.proving
local getupvalue = debug.getupvalue
local concat, ipairs, min, next, type = table.concat, ipairs, math.min, next, type

local DST, BASE = 1, 2 -- how an instruction uses its first operand: see lua_proof.lua

local calendar = {} -- names of functions by themselves
for _, name in ipairs({ "date", "year", "month", "day", "hour" }) do
    calendar[env[name]] = name
end
local tells_dates = { year = true, month = true, day = true }
local CHECKS_MAX = 200 -- functions with what they are given, that a handler's dates are followed into
local library = {} -- functions that are none of the file's
for _, value in next, env do
    if type(value) == "function" then
        library[value] = true
    end
end

---- what a register holds ----

-- `arguments`: what the function is given, by position.
local function read_code(fn, arguments)
    local code = { fn = fn, arguments = arguments, changed = {} }
    for pc = 1, jutil.funcinfo(fn).bytecodes - 1 do
        local ins = proving.decode(fn, pc)
        code[pc] = ins
        if ins.mode_a == DST then
            code.changed[ins.a] = true
        end
    end
    return code
end

local ends = { RET = true, RET0 = true, RET1 = true, RETM = true, CALLT = true, CALLMT = true,
    UCLO = true }

-- The instruction before `pc` that made what the register holds if the code ran straight up to `pc`;
-- nil where it cannot.
local function made_by(code, register, pc)
    for before = pc - 1, 1, -1 do
        local ins = code[before]
        if ins.mode_a == DST and ins.a == register then
            return ins, before
        elseif ins.mode_a == BASE and ins.a <= register or ends[ins.name] then
            return nil
        elseif ins.name == "JMP" and not (before > 1 and code[before - 1].name:find("^IS")) then
            return nil
        end
    end
end

-- A table: `members` of the row or the event, `kind` and `shown` of a field or column, `fn`, `text`
-- or `is_nil`; nil: not known.
local function held(code, register, pc)
    if code.arguments[register + 1] and not code.changed[register] then
        return code.arguments[register + 1]
    end
    local ins, from = made_by(code, register, pc)
    if not ins then
        return nil
    elseif ins.name == "MOV" then
        return held(code, ins.d, from)
    elseif ins.name == "GGET" then
        return { fn = env[jutil.funck(code.fn, -1 - ins.d)] }
    elseif ins.name == "UGET" then
        local _, value = getupvalue(code.fn, ins.d + 1)
        return { fn = value }
    elseif ins.name == "KSTR" then
        return { text = jutil.funck(code.fn, -1 - ins.d) }
    elseif ins.name == "KPRI" and ins.d == 0 then
        return { is_nil = true }
    elseif ins.name == "TGETS" then
        local object = held(code, ins.b, from)
        return object and object.members and object.members[jutil.funck(code.fn, -1 - ins.c)]
    end
end

---- dates ----

-- A function of the file's own joins what is to be checked, where it is given a date or what has members, and
-- was not given the same before.
local function follow(code, pc, fn, count, checks)
    if type(fn) ~= "function" or library[fn] or #checks == CHECKS_MAX or not jutil.funcinfo(fn).bytecodes then
        return
    end
    local arguments, shown, tells = {}, {}, false
    for i = 1, min(count, jutil.funcinfo(fn).params) do
        local given = held(code, code[pc].a + proving.call_gap + i, pc)
        arguments[i] = given
        shown[i] = given and given.shown or "-"
        tells = tells or given ~= nil and (given.kind == "date" or given.members ~= nil)
    end
    local known = concat(shown, " ")
    checks.known[fn] = checks.known[fn] or {}
    if tells and not checks.known[fn][known] then
        checks.known[fn][known] = true
        checks[#checks + 1] = read_code(fn, arguments)
    end
end

local function check_call(code, pc, checks)
    local ins = code[pc]
    local count = ins.name == "CALL" and ins.c - 1 or ins.name == "CALLT" and ins.d - 1 or 0
    local called = count > 0 and held(code, ins.a, pc)
    local name = called and called.fn and calendar[called.fn]
    if called and called.fn and not name then
        follow(code, pc, called.fn, count, checks)
    end
    local given = name and held(code, ins.a + proving.call_gap + 1, pc)
    if not given or given.kind ~= "date" then
        return
    elseif not tells_dates[name] then
        at_line(code.fn, pc, "`%s` is a date, and `%s` takes a time", given.shown, name)
    end
    local zone = count > 1 and held(code, ins.a + proving.call_gap + 2, pc)
    if count == 1 or zone and (zone.is_nil or zone.text and zone.text ~= "days") then
        at_line(code.fn, pc, "`%s` is a date and no time; write %s (%s, \"days\")", given.shown, name,
            given.shown)
    end
end

-- Adds what `list` declares to `members`; tells whether there is a date.
local function list_members(members, list, shown)
    local has_date = false
    for _, item in ipairs(list) do
        local carried = item.carried
        local to = { kind = item.kind, shown = shown .. (carried and "carried." .. carried or item.name) }
        has_date = has_date or item.kind == "date"
        if carried then
            members.carried = members.carried or { members = {}, shown = "carried" }
            members.carried.members[carried] = to
        else
            members[item.name] = to
        end
    end
    return has_date
end

-- `fn` is given an event with these fields, behind the row where `key`, its parts, is there.
function refold.check_dates(fn, fields, key)
    local event, row = { members = {}, shown = "event" }, { members = {}, shown = "row" }
    local has_date = list_members(event.members, fields, "e.")
    if key then
        has_date = list_members(row.members, declared.columns, "row.") or has_date
        if #key == 1 then
            has_date = has_date or key[1].kind == "date"
            row.members.key = { kind = key[1].kind, shown = "row.key" }
        end
    end
    if not has_date then
        return
    end
    proving.check_probes()
    local code = read_code(fn, key and { row, event } or { event })
    for pc, ins in ipairs(code) do -- what an upcaster assigns may be of another kind
        if ins.name == "TSETS" and held(code, ins.b, pc) == event then
            event.members[jutil.funck(fn, -1 - ins.c)] = nil
        end
    end
    local checks, at = { code, known = {} }, 0
    while at < #checks do
        at = at + 1
        for pc = 1, #checks[at] do
            check_call(checks[at], pc, checks)
        end
    end
end

---- keys ----

-- A handler that gets every row gets none of their keys.
function refold.refuse_key(handler)
    proving.check_probes()
    local row = { members = {} }
    local code = read_code(handler.fn, { row })
    for pc, ins in ipairs(code) do
        if ins.name == "TGETS" and jutil.funck(handler.fn, -1 - ins.c) == "key" and
            held(code, ins.b, pc) == row then
            at_line(handler.fn, pc, "row.key is not known where a handler gets every row; name the "
                .. "fields instead")
        end
    end
end
