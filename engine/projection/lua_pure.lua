-- Numbers and the calendar for projections: the functions of lua_functions.c under the names that
-- handlers know.
local refold = ...

local ffi, fail, env, type_of = refold.ffi, refold.fail, refold.env, refold.type_of
local type, tonumber, cast = type, tonumber, ffi.cast

local function c_function(name, declaration)
    return cast(declaration, refold.functions[name])
end

local c_round = c_function("round", "double (*)(double, int, int *)")
local c_muldiv = c_function("muldiv", "double (*)(double, double, double, int, int *)")
local c_rescale = c_function("rescale", "double (*)(double, double, double, int, int *)")
local c_money = c_function("money", "double (*)(const char *, size_t, double, int *)")
local fault_text = c_function("fault_text", "const char *(*)(int)")
local view_size = tonumber(c_function("view_size", "size_t (*)(void)")())
local view_begin = c_function("view_begin", "bool (*)(void *, const char *, size_t, void *)")

local fault = ffi.new("int[1]")
local modes = { half_even = 1, half_up = 2, down = 3, up = 4 }

local function number_of(value, name)
    if type(value) == "number" then
        return value
    elseif refold.is_integer(value) and value > -9007199254740992LL and value < 9007199254740992LL then
        return tonumber(value)
    elseif refold.is_integer(value) then
        fail("%s of a number that is not below 2^53", name)
    end
    fail("%s of a %s; it takes numbers", name, type_of(value))
end

local function mode_of(mode, name)
    if mode == nil then
        return 1
    end
    return modes[mode] or fail("%s: the modes are half_even, half_up, down and up", name)
end

-- What a function gave, unless it is NaN, which is the answer to what cannot be.
local function checked(value, name)
    if value ~= value then
        fail("%s: the result %s", name, ffi.string(fault_text(fault[0])))
    end
    return value
end

function env.round(x, mode)
    return checked(c_round(number_of(x, "round"), mode_of(mode, "round"), fault), "round")
end

function env.muldiv(a, b, c, mode)
    return checked(c_muldiv(number_of(a, "muldiv"), number_of(b, "muldiv"), number_of(c, "muldiv"),
        mode_of(mode, "muldiv"), fault), "muldiv")
end

function env.rescale(x, from, to, mode)
    return checked(c_rescale(number_of(x, "rescale"), number_of(from, "rescale"),
        number_of(to, "rescale"), mode_of(mode, "rescale"), fault), "rescale")
end

function env.money(text, places)
    if type(text) ~= "string" then
        fail("money of a %s; it takes a text: money \"19.99\"", type_of(text))
    end
    local value = c_money(text, #text, places and number_of(places, "money") or 2, fault)
    if value ~= value then
        fail("money \"%s\": it %s", text, ffi.string(fault_text(fault[0])))
    end
    return value
end

---- the calendar ----

local views = { UTC = ffi.new("int64_t[?]", view_size / 8 + 1) }

local function view_of(zone)
    local view = views[zone]
    if view then
        return view
    elseif type(zone) ~= "string" then
        fail("a zone is a text, not a %s", type_of(zone))
    end
    view = ffi.new("int64_t[?]", view_size / 8 + 1)
    if not view_begin(refold.zones, zone, #zone, view) then
        fail("`%s` is no time zone", zone)
    end
    views[zone] = view
    return view
end

-- A date, which is a number as a time is, is told by "days" in place of a zone.
for name in ("date year month day hour"):gmatch("%a+") do
    local c_calendar = c_function(name, "double (*)(void *, double)")
    local of_date = refold.functions[name .. "_of_date"] and
        c_function(name .. "_of_date", "double (*)(void *, double)")
    env[name] = function(time, zone)
        local value
        if zone == "days" and of_date then
            value = of_date(views.UTC, number_of(time, name))
        else
            value = c_calendar(view_of(zone or "UTC"), number_of(time, name))
        end
        if value ~= value then
            fail("%s of %.17g; it takes a %s", name, number_of(time, name),
                zone == "days" and "date" or "time")
        end
        return value
    end
end
