/* A Lua projection that is loaded and can run: one Lua state.
 *
 *     new -> tables … -> free                 whose tables a definition has
 *     take -> (forget, run) … -> leave        to run it; an upcaster likewise
 *
 * Loading evaluates the file in its closed world and makes the tables of refold/projection.h of what
 * it declares; a handler's `fold` is NULL. The tables are valid until free. Running drives the loop
 * over a batch of calls inside Lua (lua_drive.lua), since a call of Lua from C costs ten times a
 * handler.
 *
 * To load a file costs some milliseconds, a hundred times what a few events do. So a state that is left goes to its
 * file, and is taken by the next who runs it: whoever follows folds some events at a time. What a state did tells in
 * nothing that comes later, since the functions of its closed world assign to nothing outside themselves.
 *
 * A state is bounded: in memory by its allocator (with a reserve, so that LuaJIT itself is
 * seldom without any: what runs is ended at its next tick), in time by ticks in the code (lua_closed.lua)
 * that now and then look at the clock of the thread and at `cancel`. Confined to its thread, and handed over where it is
 * left and taken.
 */
#ifndef RF_PROJECTION_LUA_STATE_H
#define RF_PROJECTION_LUA_STATE_H

#include "projection/evolution.h"
#include "projection/lua_file.h"
#include "projection/runner.h"

enum { RF_LUA_MEMORY_MAX = 256 << 20, RF_LUA_SECONDS_MAX = 5 };
/* States of a file that are kept for the next who runs it, and what one of them may have taken. */
enum { RF_LUA_IDLE_MAX = 32, RF_LUA_IDLE_MEMORY_MAX = 16 << 20 };

typedef struct rf_lua_state rf_lua_state;

/* RF_ERR_PLUGIN, as "FILE:LINE: what", where the file does not hold. It and `cancel` (which may be
 * NULL) are borrowed until free. */
rf_status rf_lua_state_new(rf_lua_file *file, const volatile int *cancel, rf_lua_state **state_out,
                           rf_err *err);
/* One of the file's own that nobody uses, or a new one, for a file that was loaded before. `cancel` is borrowed until
 * leave. */
rf_status rf_lua_state_take(rf_lua_file *file, const volatile int *cancel, rf_lua_state **state_out,
                            rf_err *err);
/* Takes NULL. One that failed, or has grown large, is freed. */
void rf_lua_state_leave(rf_lua_state *state);
void rf_lua_state_free_idle(rf_lua_file *file);
/* The same for a file that declares an evolution and no projection. */
rf_status rf_lua_state_new_evolution(rf_lua_file *file, rf_lua_state **state_out, rf_err *err);
void rf_lua_state_free(rf_lua_state *state); /* takes NULL */
/* Of what runs a file: our own chunks, and LuaJIT's version. */
rf_hash128 rf_lua_state_engine_hash(void);
const rf_projection *rf_lua_state_tables(const rf_lua_state *state);
/* Whether any of its functions may use the calendar. */
bool rf_lua_state_uses_zones(const rf_lua_state *state);
/* The row that a key begins with, row_size bytes. */
const void *rf_lua_state_template(const rf_lua_state *state);
/* What it says that holds for every row, in the order of the file; valid until free. */
typedef struct rf_lua_expect {
    char *text;
    char *place; /* FILE:LINE */
} rf_lua_expect;
const rf_lua_expect *rf_lua_state_expects(const rf_lua_state *state, uint32_t *count_out);
/* What the file declares of its events' own evolution, valid until free; NULL: nothing. Functions are
 * run by states of their own, which `ops` open of the file. */
const rf_evolution_tables *rf_lua_state_evolution(const rf_lua_state *state);
/* See runner.h. */
void rf_lua_state_forget(rf_lua_state *state);
rf_status rf_lua_state_run(rf_lua_state *state, rf_fold *fold, const rf_runner_call *calls,
                           uint32_t count, uint32_t *failed_out, rf_err *err);

#endif
