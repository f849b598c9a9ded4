-- find, match, gmatch and gsub for projections: Lua's, but with a bound on the steps that a match
-- may take, so that no pattern holds up a rebuild (lua_pattern.h).
local refold = ...

local ffi, fail, thaw, type_of = refold.ffi, refold.fail, refold.thaw, refold.type_of
local type, tostring, tonumber, sub, concat = type, tostring, tonumber, string.sub, table.concat
local raw_find = string.find

ffi.cdef [[
typedef struct {
    int64_t begin, end, steps;
    int32_t capture_count;
    struct { int64_t begin, size; } captures[32];
} refold_match;
]]
local pattern_find = ffi.cast(
    "int (*)(const char *, size_t, const char *, size_t, size_t, refold_match *)",
    refold.functions.pattern_find)
local match = ffi.new("refold_match")
local STEPS = 100000000

local function text_of(value, name)
    if type(value) == "string" then
        return value
    elseif type(value) == "number" then
        return tostring(value)
    end
    fail("%s of a %s; it takes a text", name, type_of(value))
end

-- The first match from byte `from` on, counted from 0; it stands in `match` until the next.
local function search(text, pattern, from, name)
    match.steps = STEPS
    local result = pattern_find(text, #text, pattern, #pattern, from, match)
    if result < 2 then
        return result == 1
    elseif result == 2 then
        fail("%s: the pattern \"%s\" is malformed", name, pattern)
    elseif result == 3 then
        fail("%s: the pattern \"%s\" takes more than %d steps with a text of %d bytes", name,
            pattern, STEPS, #text)
    end
    fail("%s: the pattern \"%s\" is too deep", name, pattern)
end

local function start_of(init, size)
    init = init == nil and 1 or tonumber(init) or fail("a position is a number")
    if init < 0 then
        init = init + size + 1
    end
    return init < 1 and 0 or init - 1
end

local function capture(text, i)
    local begin, size = tonumber(match.captures[i].begin), tonumber(match.captures[i].size)
    if size == -2 then
        return begin + 1
    end
    return sub(text, begin + 1, begin + size)
end

local function captures_from(text, i)
    if i + 1 >= match.capture_count then
        return capture(text, i)
    end
    return capture(text, i), captures_from(text, i + 1)
end

-- All captures, or the whole match where there is none.
local function captures(text)
    if match.capture_count == 0 then
        return sub(text, tonumber(match.begin) + 1, tonumber(match["end"]))
    elseif match.capture_count == 1 then
        return capture(text, 0)
    end
    return captures_from(text, 0)
end

local closed = refold.closed_string

function closed.find(text, pattern, init, plain)
    text, pattern = text_of(text, "find"), text_of(pattern, "find")
    if plain or not raw_find(pattern, "[%^$*+?.()[%%-]") then
        return raw_find(text, pattern, init, true)
    elseif not search(text, pattern, start_of(init, #text), "find") then
        return nil
    end
    local begin, stop = tonumber(match.begin) + 1, tonumber(match["end"])
    if match.capture_count == 0 then
        return begin, stop
    end
    return begin, stop, captures(text)
end

function closed.match(text, pattern, init)
    text, pattern = text_of(text, "match"), text_of(pattern, "match")
    if search(text, pattern, start_of(init, #text), "match") then
        return captures(text)
    end
    return nil
end

function closed.gmatch(text, pattern)
    text, pattern = text_of(text, "gmatch"), text_of(pattern, "gmatch")
    local state = { at = 0 }
    if sub(pattern, 1, 1) == "^" then -- no anchor here, as in Lua
        pattern = "%" .. pattern
    end
    return function()
        if not search(text, pattern, state.at, "gmatch") then
            return nil
        end
        local stop = tonumber(match["end"])
        state.at = stop == tonumber(match.begin) and stop + 1 or stop
        return captures(text)
    end
end

local function expand(by, text)
    local parts, at = {}, 1
    while true do
        local stop = raw_find(by, "%", at, true)
        if not stop then
            parts[#parts + 1] = sub(by, at)
            return concat(parts)
        end
        local what = sub(by, stop + 1, stop + 1)
        parts[#parts + 1] = sub(by, at, stop - 1)
        if what == "0" or what == "1" and match.capture_count == 0 then
            parts[#parts + 1] = sub(text, tonumber(match.begin) + 1, tonumber(match["end"]))
        elseif what >= "1" and what <= "9" then
            if tonumber(what) > match.capture_count then
                fail("gsub: the replacement names %%%s, which the pattern does not capture", what)
            end
            parts[#parts + 1] = capture(text, tonumber(what) - 1)
        else
            parts[#parts + 1] = what
        end
        at = stop + 2
    end
end

local function replaced(by, text)
    local begin, stop = tonumber(match.begin), tonumber(match["end"])
    local value
    if type(by) == "string" then
        return expand(by, text)
    elseif type(by) == "table" then
        value = by[(captures(text))]
    else
        value = by(captures(text))
    end
    if not value then
        return sub(text, begin + 1, stop)
    elseif type(value) ~= "string" and type(value) ~= "number" then
        fail("gsub: the replacement is a %s", type_of(value))
    end
    return value
end

function closed.gsub(text, pattern, by, count)
    text, pattern, by = text_of(text, "gsub"), text_of(pattern, "gsub"), thaw(by)
    by = type(by) == "number" and tostring(by) or by
    if type(by) ~= "string" and type(by) ~= "table" and type(by) ~= "function" then
        fail("gsub: the replacement is a %s", type_of(by))
    end
    local anchored = sub(pattern, 1, 1) == "^"
    local parts, at, done = {}, 0, 0
    while done < (count or 1 / 0) and search(text, pattern, at, "gsub") do
        local begin, stop = tonumber(match.begin), tonumber(match["end"])
        parts[#parts + 1] = sub(text, at + 1, begin)
        parts[#parts + 1] = replaced(by, text)
        done = done + 1
        if stop == begin then -- an empty match: the next byte stays
            parts[#parts + 1] = sub(text, stop + 1, stop + 1)
            stop = stop + 1
        end
        at = stop
        if anchored or at > #text then
            break
        end
    end
    return concat(parts) .. sub(text, at + 1), done
end

refold.env.string = refold.freeze(closed)
getmetatable("").__index = closed -- from here on of all texts
