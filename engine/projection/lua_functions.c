/* See lua_functions.h. */
#include "projection/lua_functions.h"

#include "base/bytes.h"
#include "event/number.h"
#include "projection/lua_pattern.h"

static double lua_money(const char *text, size_t size, double scale, int *fault)
{
    rf_value_fault found = (rf_value_fault)*fault;
    double value = rf_number_money((rf_slice){text, size}, scale, &found);

    *fault = (int)found;
    return value;
}

static double lua_round(double x, int rounding, int *fault)
{
    rf_value_fault found = (rf_value_fault)*fault;
    double value = rf_number_round(x, (rf_rounding)rounding, &found);

    *fault = (int)found;
    return value;
}

static double lua_muldiv(double a, double b, double c, int rounding, int *fault)
{
    rf_value_fault found = (rf_value_fault)*fault;
    double value = rf_number_muldiv(a, b, c, (rf_rounding)rounding, &found);

    *fault = (int)found;
    return value;
}

static double lua_rescale(double x, double from, double to, int rounding, int *fault)
{
    rf_value_fault found = (rf_value_fault)*fault;
    double value = rf_number_rescale(x, from, to, (rf_rounding)rounding, &found);

    *fault = (int)found;
    return value;
}

static const char *lua_fault_text(int fault)
{
    return rf_number_fault_text((rf_value_fault)fault);
}

static bool lua_utf8_valid(const char *text, size_t size)
{
    return rf_utf8_valid((rf_slice){text, size});
}

static int lua_pattern_find(const char *text, size_t text_size, const char *pattern,
                            size_t pattern_size, size_t from, rf_pattern_match *match)
{
    return (int)rf_pattern_find((rf_slice){text, text_size}, (rf_slice){pattern, pattern_size}, from,
                                match);
}

static size_t lua_view_size(void)
{
    return sizeof(rf_zone_view);
}

/* Makes `view` one of the zone of that name; false where there is none. */
static bool lua_view_begin(rf_zones *zones, const char *name, size_t size, rf_zone_view *view)
{
    const rf_zone *zone;

    if (rf_zones_get(zones, (rf_slice){name, size}, &zone, NULL) != RF_OK)
        return false;
    *view = (rf_zone_view){.zone = zone};
    return true;
}

#define FUNCTION(name, function)                                                                   \
    {                                                                                              \
        (name), (void (*)(void))(function)                                                         \
    }
const rf_lua_function rf_lua_functions[] = {
    FUNCTION("round", lua_round),
    FUNCTION("muldiv", lua_muldiv),
    FUNCTION("rescale", lua_rescale),
    FUNCTION("money", lua_money),
    FUNCTION("fault_text", lua_fault_text),
    FUNCTION("pattern_find", lua_pattern_find),
    FUNCTION("utf8_valid", lua_utf8_valid),
    FUNCTION("view_size", lua_view_size),
    FUNCTION("view_begin", lua_view_begin),
    FUNCTION("date", rf_calendar_date),
    FUNCTION("year", rf_calendar_year),
    FUNCTION("month", rf_calendar_month),
    FUNCTION("day", rf_calendar_day),
    FUNCTION("hour", rf_calendar_hour),
    FUNCTION("year_of_date", rf_calendar_year_of_date),
    FUNCTION("month_of_date", rf_calendar_month_of_date),
    FUNCTION("day_of_date", rf_calendar_day_of_date),
};
const size_t rf_lua_function_count = sizeof rf_lua_functions / sizeof rf_lua_functions[0];
