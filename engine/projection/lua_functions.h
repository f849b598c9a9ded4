/* The pure C functions that Lua projections reach: numbers and the calendar, by address.
 *
 * lua_pure.lua declares their types. Zones are read once a set and by name; a set is confined to the
 * thread of its Lua state.
 */
#ifndef RF_PROJECTION_LUA_FUNCTIONS_H
#define RF_PROJECTION_LUA_FUNCTIONS_H

#include "event/calendar.h"

typedef struct rf_lua_function {
    const char *name;
    void (*address)(void);
} rf_lua_function;

extern const rf_lua_function rf_lua_functions[];
extern const size_t rf_lua_function_count;

#endif
