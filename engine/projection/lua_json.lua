-- JSON columns and fields: values as Lua has them, and one form of text for each.
--
-- A null is nil, and a member that is null is none. Arrays and objects that were read remember which
-- they are, also when they are empty, by a metatable that nobody else can see. Members are written
-- in the order of their names, numbers with as few digits as read back the same, so that equal
-- values give equal bytes. A typed list is an array of objects with exactly the declared members,
-- in declared order, decimals as texts, as in rows.
local refold = ...

local ffi, fail, thaw, is_integer = refold.ffi, refold.fail, refold.thaw, refold.is_integer
local ask_again = refold.ask_again
local type, next, tostring, tonumber, ipairs = type, next, tostring, tonumber, ipairs
local setmetatable, getmetatable = setmetatable, getmetatable
local byte, sub, find, match, format, rep = string.byte, string.sub, string.find, string.match,
    string.format, string.rep
local concat, sort, floor = table.concat, table.sort, math.floor
local char, gsub = string.char, string.gsub

local utf8_valid = ffi.cast("bool (*)(const char *, size_t)", refold.functions.utf8_valid)
refold.utf8_valid = utf8_valid
local DEPTH_MAX = 64

local ARRAY, OBJECT = { array = true }, { array = false }

---- reading: of text that is valid JSON ----

local escapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function utf8_of(code)
    if code < 0x80 then
        return char(code)
    elseif code < 0x800 then
        return char(0xc0 + floor(code / 64), 0x80 + code % 64)
    elseif code < 0x10000 then
        return char(0xe0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
    end
    return char(0xf0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64,
        0x80 + floor(code / 64) % 64, 0x80 + code % 64)
end

-- What the escape at `at` means, and where it ends.
local function escape_at(text, at)
    local c = sub(text, at + 1, at + 1)
    if c ~= "u" then
        return escapes[c] or c, at + 2
    end
    local code = tonumber(sub(text, at + 2, at + 5), 16)
    if code >= 0xd800 and code < 0xdc00 then
        local low = tonumber(sub(text, at + 8, at + 11), 16)
        return utf8_of(0x10000 + (code - 0xd800) * 1024 + low - 0xdc00), at + 12
    end
    return utf8_of(code), at + 6
end

local function unescape(text)
    local parts, at = {}, 1
    while true do
        local stop = find(text, "\\", at, true)
        if not stop then
            parts[#parts + 1] = sub(text, at)
            return concat(parts)
        end
        parts[#parts + 1] = sub(text, at, stop - 1)
        parts[#parts + 1], at = escape_at(text, stop)
    end
end

-- The text that begins behind the quote at `at`, and where it ends.
local function read_text(source, at)
    local stop = find(source, '["\\]', at + 1)
    if byte(source, stop) == 34 then
        return sub(source, at + 1, stop - 1), stop + 1
    end
    while byte(source, stop) ~= 34 do
        stop = find(source, '["\\]', stop + 2)
    end
    return unescape(sub(source, at + 1, stop - 1)), stop + 1
end

-- As few digits as read back the same.
local function digits_of(value)
    if floor(value) == value and value > -2 ^ 53 and value < 2 ^ 53 then
        return format("%.0f", value + 0) -- also of -0
    end
    for digits = 15, 17 do
        local text = format("%." .. digits .. "g", value)
        if tonumber(text) == value then
            return text
        end
    end
end

local function read_number(source, at)
    local literal = match(source, "^[-+.%deE]+", at)
    local value = tonumber(literal)
    if #literal > 15 and not find(literal, "[.eE]") and (value >= 2 ^ 53 or value <= -2 ^ 53) then
        local whole, limit = 0LL, 9223372036854775807LL
        for digit in literal:gmatch("%d") do
            if whole > (limit - tonumber(digit)) / 10 then
                fail("the number %s of a json value is beyond 64 bits", literal)
            end
            whole = whole * 10 + tonumber(digit)
        end
        return byte(literal) == 45 and -whole or whole, at + #literal
    elseif value - value ~= 0 then
        fail("the number %s of a json value is beyond those of Lua", literal)
    elseif #literal > 15 and not find(literal, "[eE]") and find(literal, "%.") and
        digits_of(value) ~= gsub(gsub(literal, "0+$", ""), "%.$", "") then
        fail("the number %s of a json value has more digits than Lua holds", literal)
    end
    return value, at + #literal
end

local read_value

local function read_array(source, at)
    local list, count, value = {}, 0, nil
    local has_null = false
    at = find(source, "[^ \n\r\t]", at + 1)
    while byte(source, at) ~= 93 do
        value, at = read_value(source, at)
        count = count + 1
        list[count] = value
        has_null = has_null or value == nil
        at = find(source, "[^ \n\r\t,]", at)
    end
    return setmetatable(list, has_null and { array = true, count = count } or ARRAY), at + 1
end

local function read_object(source, at)
    local object, name, value = {}, nil, nil
    at = find(source, "[^ \n\r\t]", at + 1)
    while byte(source, at) ~= 125 do
        name, at = read_text(source, at)
        value, at = read_value(source, find(source, "[^ \n\r\t:]", at))
        object[name] = value
        at = find(source, "[^ \n\r\t,]", at)
    end
    return setmetatable(object, OBJECT), at + 1
end

function read_value(source, at)
    local c = byte(source, at)
    if c == 34 then
        return read_text(source, at)
    elseif c == 123 then
        return read_object(source, at)
    elseif c == 91 then
        return read_array(source, at)
    elseif c == 116 then
        return true, at + 4
    elseif c == 102 then
        return false, at + 5
    elseif c == 110 then
        return nil, at + 4
    end
    return read_number(source, at)
end

local function from_json(text)
    return (read_value(text, find(text, "[^ \n\r\t]")))
end
refold.from_json = from_json

---- writing ----

local out, out_count = {}, 0

local function put(text)
    out_count = out_count + 1
    out[out_count] = text
end

local function take()
    local text = concat(out, "", 1, out_count)
    out_count = 0
    return text
end

local short = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n",
    ["\r"] = "\\r", ["\t"] = "\\t" }

local function put_text(text)
    if not utf8_valid(text, #text) then
        fail("a text of a json value is no UTF-8")
    elseif find(text, '[%c"\\]') then
        text = gsub(text, '[%z\1-\31"\\]', function(c)
            return short[c] or format("\\u%04x", byte(c))
        end)
    end
    put('"')
    put(text)
    put('"')
end

local put_value

local function put_array(list, count, depth)
    put("[")
    for i = 1, count do
        if i > 1 then
            put(",")
        end
        put_value(list[i], depth)
    end
    put("]")
end

local function put_object(object, depth)
    local names = {}
    for name in next, object do
        if type(name) ~= "string" then
            fail("a json value has the key %s; arrays go from 1 without holes, objects have texts",
                tostring(name))
        end
        names[#names + 1] = name
    end
    sort(names)
    put("{")
    for i, name in ipairs(names) do
        if i > 1 then
            put(",")
        end
        put_text(name)
        put(":")
        put_value(object[name], depth)
    end
    put("}")
end

-- Of an array the count of its elements; nil for an object.
local function count_of(value)
    local meta = getmetatable(value)
    ask_again()
    local count = #value
    if meta and meta.array == false or not meta and count == 0 and next(value) ~= nil then
        return nil
    end
    count = meta and meta.count and meta.count > count and meta.count or count
    for key in next, value do
        if type(key) ~= "number" or key < 1 or key > count or key % 1 ~= 0 then
            return nil
        end
    end
    return count
end

function put_value(value, depth)
    local kind = type(value)
    if kind == "string" then
        put_text(value)
    elseif kind == "number" then
        if value - value ~= 0 then
            fail("a json value has the number %g", value)
        end
        put(digits_of(value))
    elseif kind == "boolean" then
        put(value and "true" or "false")
    elseif kind == "nil" then
        put("null")
    elseif is_integer(value) then
        put((gsub(tostring(value), "U?LL$", "")))
    elseif type(thaw(value)) == "table" then
        if depth >= DEPTH_MAX then
            fail("a json value is deeper than %d", DEPTH_MAX)
        end
        value = thaw(value)
        local count = count_of(value)
        if count then
            put_array(value, count, depth + 1)
        else
            put_object(value, depth + 1)
        end
    else
        fail("a json value has a %s", refold.type_of(value))
    end
end

local function to_json(value)
    out_count = 0
    put_value(value, 0)
    return take()
end

---- typed lists ----

local function civil(days)
    local z = days + 719468
    local era = floor(z / 146097)
    local doe = z - era * 146097
    local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
    local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
    local mp = floor((5 * doy + 2) / 153)
    local month = mp < 10 and mp + 3 or mp - 9
    return yoe + era * 400 + (month <= 2 and 1 or 0), month, doy - floor((153 * mp + 2) / 5) + 1
end

local function days_of(year, month, day)
    year = month <= 2 and year - 1 or year
    local era = floor(year / 400)
    local yoe = year - era * 400
    local doy = floor((153 * (month > 2 and month - 3 or month + 9) + 2) / 5) + day - 1
    return era * 146097 + yoe * 365 + floor(yoe / 4) - floor(yoe / 100) + doy - 719468
end

local DAY = 86400000000

local function time_text(us)
    local days = floor(us / DAY)
    local rest = us - days * DAY
    local year, month, day = civil(days)
    return format("%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", year, month, day, floor(rest / 3600e6),
        floor(rest / 60e6) % 60, floor(rest / 1e6) % 60, rest % 1e6)
end

local function decimal_text(value, scale)
    local digits = format("%.0f", value < 0 and -value or value)
    digits = rep("0", scale + 1 - #digits) .. digits
    local text = scale == 0 and digits or sub(digits, 1, -scale - 1) .. "." .. sub(digits, -scale)
    return value < 0 and "-" .. text or text
end

local writers = {
    int = function(value) put(format("%.0f", value)) end,
    decimal = function(value, member)
        put('"' .. decimal_text(value, member.scale) .. '"')
    end,
    time = function(value) put('"' .. time_text(value) .. '"') end,
    date = function(value) put(format('"%04d-%02d-%02d"', civil(value))) end,
    float = function(value) put(digits_of(value)) end,
    bool = function(value) put(value and "true" or "false") end,
    text = put_text,
    json = function(value) put_value(value, 2) end,
}
local zero = { int = 0, decimal = 0, float = 0, bool = false }
local whole = { int = true, decimal = true, time = true, date = true }

local function is_of(kind, value)
    if whole[kind] then
        return type(value) == "number" and floor(value) == value and value > -2 ^ 53 and
            value < 2 ^ 53
    elseif kind == "float" then
        return type(value) == "number" and value - value == 0
    elseif kind == "bool" then
        return type(value) == "boolean"
    end
    return kind == "json" or type(value) == "string"
end

local function put_element(element, index, column)
    element = thaw(element)
    if type(element) ~= "table" then
        fail("column %s: element %d is a %s, not a table", column.name, index,
            refold.type_of(element))
    end
    for name in next, element do
        if not column.member_by_name[name] then
            fail("column %s: element %d has `%s`, which the list does not declare", column.name,
                index, tostring(name))
        end
    end
    put(index > 1 and ",{" or "{")
    for i, member in ipairs(column.members) do
        local value = element[member.name]
        if value == nil then
            value = zero[member.kind]
        end
        if is_integer(value) and value > -9007199254740992LL and value < 9007199254740992LL then
            value = tonumber(value)
        end
        put(i > 1 and ',"' or '"')
        put(member.name)
        put('":')
        if value == nil then
            put("null")
        elseif not is_of(member.kind, value) then
            fail("column %s: %s of element %d (%s) cannot hold %s", column.name, member.name, index,
                member.kind, refold.shown(value))
        else
            writers[member.kind](value, member)
        end
    end
    put("}")
end

local function to_list(value, column)
    local list = thaw(value)
    local count = count_of(list)
    if not count then
        fail("column %s (list) cannot hold a table with names", column.name)
    end
    out_count = 0
    put("[")
    for i = 1, count do
        put_element(list[i], i, column)
    end
    put("]")
    return take()
end

local readers = {
    decimal = function(text) return tonumber((gsub(text, "%.", ""))) end,
    date = function(text)
        local year, month, day = match(text, "^(%-?%d+)%-(%d+)%-(%d+)$")
        return days_of(tonumber(year), tonumber(month), tonumber(day))
    end,
    time = function(text)
        local year, month, day, hour, minute, second, us =
            match(text, "^(%-?%d+)%-(%d+)%-(%d+)T(%d+):(%d+):(%d+)%.(%d+)Z$")
        return days_of(tonumber(year), tonumber(month), tonumber(day)) * DAY +
            tonumber(hour) * 3600e6 + tonumber(minute) * 60e6 + tonumber(second) * 1e6 + tonumber(us)
    end,
}

local function from_list(text, column)
    local list = from_json(text)
    for _, member in ipairs(column.members) do
        local read, name = readers[member.kind], member.name
        if read then
            for i = 1, #list do
                local value = list[i][name]
                list[i][name] = value ~= nil and read(value) or nil
            end
        end
    end
    return list
end

-- The text of a column's value, and the value of its text.
function refold.column_text(value, column)
    if column.kind ~= "list" then
        return to_json(value)
    elseif type(thaw(value)) ~= "table" then
        fail("column %s (list) cannot hold %s", column.name, refold.shown(value))
    end
    return to_list(value, column)
end

function refold.column_value(text, column)
    if column.kind ~= "list" then
        return from_json(text)
    end
    return from_list(text, column)
end
