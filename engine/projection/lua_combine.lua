-- Combined columns as handlers see them.
--
-- A handler of a projection that combines gets an unset row with every event, so what a column was
-- before is nowhere, and code that asks for it would be wrong without a word. So a column that is
-- summed or counted reads as a sum: a thing that numbers are added to and taken from, and that can
-- be stored in its own column, and nothing else. What was last cannot be read, nor whether the row
-- exists. What is least and greatest reads as beyond all numbers until it is written, so that both
-- math.min and `if e.price < row.lowest` are right.
local refold = ...

local ffi, fail, declared = refold.ffi, refold.fail, refold.declared
local type, istype = type, ffi.istype

local SUM, MIN, MAX, COUNT, FIRST, LAST = 1, 2, 3, 4, 5, 6

-- By column, each of a type of its own. One is enough: it begins anew whenever the column is read.
local sums, sum_types = {}, {}

local function make_sum(name)
    local function refuse_it()
        fail("column %s is combined, what it was is not known here; write row.%s = row.%s + ...",
            name, name, name)
    end
    local meta = {}
    for what in ("mul div mod pow unm lt le eq concat call len index newindex"):gmatch("%a+") do
        meta["__" .. what] = refuse_it
    end
    local sum
    local function add(more)
        if type(more) ~= "number" then
            refuse_it()
        end
        sum.value = sum.value + more
        return sum
    end
    function meta.__add(a, b)
        return add(type(a) == "number" and a or b)
    end
    function meta.__sub(a, b)
        return add(type(a) ~= "number" and type(b) == "number" and -b or nil)
    end
    sum_types[name] = ffi.metatype(ffi.typeof("struct { double value; }"), meta)
    sum = ffi.new(sum_types[name])
    sums[name] = sum
end

local function of_sum(name, value)
    if not istype(sum_types[name], value) then
        fail("column %s is combined; write row.%s = row.%s + ... and not what it is to be", name, name,
            name)
    end
    return value.value
end

local function not_known(name)
    fail("column %s is combined, what was last is not known here", name)
end

local whole = { int = true, decimal = true }
local unwritten = {
    [MIN] = "if P.cN == GREATEST then return huge end ",
    [MAX] = "if P.cN == NONE then return -huge end ",
    [FIRST] = "if P.cN == NONE then return 0 end ",
}

-- The code that reads a column, around that for its kind, and the code that writes it.
function refold.combined_getter(column, getter)
    local how = declared.combine[column.name]
    if how == SUM or how == COUNT then
        if not sums[column.name] then
            make_sum(column.name)
        end
        return "local s = sums['N0'] s.value = tonumber(P.cN) return s"
    elseif how == LAST then
        return "not_known('N0')"
    end
    return (whole[column.kind] and unwritten[how] or "") .. getter
end

function refold.combined_setter(column, setter)
    local how = declared.combine[column.name]
    return (how == SUM or how == COUNT) and "v = of_sum('N0', v) " .. setter or setter
end

refold.combined_helpers = {
    sums = sums, of_sum = of_sum, not_known = not_known, GREATEST = 0x7fffffffffffffffLL,
    huge = math.huge,
}
