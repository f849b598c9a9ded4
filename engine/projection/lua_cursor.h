/* What C and a Lua projection's loop share; lua_begin.lua declares the same struct. Private to
 * lua_state.c. */
#ifndef RF_PROJECTION_LUA_CURSOR_H
#define RF_PROJECTION_LUA_CURSOR_H

#include "projection/runner.h"

typedef struct rf_lua_cursor {
    void *row; /* of the call at hand, as `event` and `flags` */
    const void *event;
    const rf_runner_call *calls;
    const rf_projection *tables; /* of the projection, once it is loaded */
    const void *row_template; /* row_size bytes */
    rf_fold *fold;
    uint32_t count; /* of calls */
    uint32_t at;    /* the call at hand */
    int32_t ticks;  /* until the next look whether to end */
    uint32_t texts; /* that are remembered */
    uint32_t live;  /* 1: some rows have values that are not text yet */
    uint8_t flags;
} rf_lua_cursor;

#endif
