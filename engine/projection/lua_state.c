/* See lua_state.h. The only file that includes Lua's headers. */
#include "projection/lua_state.h"

#include "projection/lua_cursor.h"
#include "projection/expectation.h"
#include "projection/lua_functions.h"

#include <lauxlib.h>
#include <lua.h>
#include <luajit.h>
#include <lualib.h>
#include <stdlib.h>
#include <time.h>

enum {
    TICKS = 1 << 16,             /* between two looks */
    LARGE_ALLOCATION = 64 << 10, /* a look belongs to one */
    RESERVE_SIZE = 4 << 20,      /* for the way to the next look, where memory lacks; not touched before */
    REASON_SIZE = 1024,
};

/* The chunks that lua_embed.py makes of the .lua files here, in the order of loading. */
typedef struct rf_lua_chunk {
    const char *name;
    const char *bytes;
    size_t size;
} rf_lua_chunk;
extern const rf_lua_chunk rf_lua_chunks[];
extern const size_t rf_lua_chunk_count;

static rf_status run_upcast(void *arg, uint32_t index, rf_upcast_batch *batch, rf_err *err);
static rf_status open_projection(void *file, const volatile int *cancel, void **state_out,
                                 rf_err *err);
static rf_status open_evolution(void *file, const volatile int *cancel, void **state_out,
                                rf_err *err);
static void close_state(void *state);

/* How upcasters are run: of a projection's file, and of one that declares nothing else. */
static const rf_upcast_ops projection_ops = {open_projection, close_state, run_upcast};
static const rf_upcast_ops evolution_ops = {open_evolution, close_state, run_upcast};

struct rf_lua_state {
    lua_State *lua;
    rf_lua_file *file;
    const volatile int *cancel;
    lua_Alloc allocate; /* the state's own, which ours asks */
    void *allocate_arg;
    void *reserve; /* NULL: used up */
    size_t memory;
    bool memory_spent;  /* more than it may have */
    bool memory_lacked; /* the machine had none, since the call began */
    bool interrupted;
    uint32_t looked_at; /* the call at the last look, and the thread's time when it was first seen */
    double looked_since;
    bool looked;
    int load_result; /* of the call that loads */
    int explain_ref, places_ref, run_ref, forget_ref, unlive_ref, upcast_ref;
    rf_zones *zones;
    rf_lua_cursor cursor;
    bool evolution_only;
    bool failed; /* once: what it was in the middle of is not known */
    bool broken; /* it could not be made ready for the next call */
    rf_lua_state *next; /* of those that nobody uses */
    bool uses_zones;
    rf_evolution_tables evolution; /* name NULL: none */
    rf_lua_expect expects[RF_EXPECTATIONS_MAX];
    uint32_t expect_count;
};

/* ---- limits ---- */

static bool is_cancelled(const rf_lua_state *state)
{
    return state->cancel && *state->cancel;
}

/* Ends what runs at its next look, or in the end. LuaJIT is told of little memory seldom: where it lacks within its
 * compiler of traces, it goes on with traces that are half made. */
static void end_soon(rf_lua_state *state, bool *why)
{
    *why = true;
    state->cursor.ticks = 0;
}

static void *allocate(void *arg, void *old, size_t old_size, size_t size)
{
    rf_lua_state *state = arg;
    size_t wanted = state->memory - old_size + size;

    if (size > old_size && wanted > RF_LUA_MEMORY_MAX) {
        end_soon(state, &state->memory_spent);
        if (wanted > RF_LUA_MEMORY_MAX + RESERVE_SIZE)
            return NULL;
    }
    if (size > LARGE_ALLOCATION && is_cancelled(state)) {
        state->interrupted = true;
        return NULL;
    }
    void *block = state->allocate(state->allocate_arg, old, old_size, size);
    if (!block && size > 0) {
        end_soon(state, &state->memory_lacked);
        if (state->reserve)
            (void)state->allocate(state->allocate_arg, state->reserve, RESERVE_SIZE, 0);
        state->reserve = NULL;
        block = state->allocate(state->allocate_arg, old, old_size, size);
    }
    if (block || size == 0)
        state->memory = wanted;
    return block;
}

static double thread_seconds(void)
{
    struct timespec now;

    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0)
        return 0;
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Called when the ticks have run out. */
static int look(lua_State *lua)
{
    rf_lua_state *state = lua_touserdata(lua, lua_upvalueindex(1));
    double now = thread_seconds();

    state->cursor.ticks = TICKS;
    if (is_cancelled(state)) {
        state->interrupted = true;
        return luaL_error(lua, "interrupted");
    }
    if (state->memory_lacked || state->memory_spent)
        return luaL_error(lua, "not enough memory");
    if (!state->looked || state->looked_at != state->cursor.at) {
        state->looked = true;
        state->looked_at = state->cursor.at;
        state->looked_since = now;
    } else if (now - state->looked_since > RF_LUA_SECONDS_MAX) {
        lua_pushfstring(lua, "runs for more than %d s", RF_LUA_SECONDS_MAX);
        return lua_error(lua);
    }
    return 0;
}

static const char *keep_text(rf_lua_cursor *cursor, const char *text, size_t size)
{
    char *kept = cursor->fold->alloc(cursor->fold, size ? size : 1);

    if (kept)
        memcpy(kept, text, size);
    return kept;
}

/* ---- errors ---- */

/* Cuts "PLACE:LINE: " of a frame from the head of a message. */
static const char *without_place(const char *message, const lua_Debug *frame)
{
    char place[LUA_IDSIZE + 32];
    int size = snprintf(place, sizeof place, "%s:%d: ", frame->short_src, frame->currentline);

    return size > 0 && strncmp(message, place, (size_t)size) == 0 ? message + size : message;
}

/* Message handler: what went wrong, with the place in the projection's own files. */
static int explain(lua_State *lua)
{
    lua_Debug frame;

    if (lua_istable(lua, 1)) {
        lua_getfield(lua, 1, "place");
        lua_getfield(lua, 1, "what");
        if (lua_isstring(lua, -1) && lua_isstring(lua, -2)) {
            lua_pushfstring(lua, "%s: %s", lua_tostring(lua, -2), lua_tostring(lua, -1));
            return 1;
        }
    }
    const char *message =
        lua_isstring(lua, 1) ? lua_tostring(lua, 1) : "an error whose value is no text";
    for (int level = 1; lua_getstack(lua, level, &frame); level++) {
        lua_getinfo(lua, "Sl", &frame);
        if (frame.currentline > 0)
            message = without_place(message, &frame);
        if (frame.source[0] == '@') {
            lua_pushfstring(lua, "%s:%d: %s", frame.source + 1, frame.currentline, message);
            return 1;
        }
    }
    lua_pushstring(lua, message);
    return 1;
}

/* Where the handler begins that was called last, as it cannot be told from within without memory; the
 * file where none was. The text is the state's. */
static const char *place_of_call(rf_lua_state *state)
{
    const char *place = NULL;

    if (state->cursor.calls) {
        lua_rawgeti(state->lua, LUA_REGISTRYINDEX, state->places_ref);
        lua_rawgeti(state->lua, -1, (int)state->cursor.calls[state->cursor.at].handler + 1);
        place = lua_tostring(state->lua, -1);
    }
    return place ? place : state->file->parts[0].name;
}

/* What a call under protection came to. The message is taken from the stack. */
static rf_status outcome(rf_lua_state *state, int result, rf_err *err)
{
    if (result == 0 && !state->memory_lacked && !state->memory_spent)
        return RF_OK;
    state->failed = true;
    const char *message = lua_gettop(state->lua) > 0 ? lua_tostring(state->lua, -1) : NULL;
    rf_status status;
    if (state->interrupted)
        status = rf_fail(err, RF_ERR_INTERRUPTED, "interrupted; what was live is live");
    else if (state->memory_spent)
        status = rf_fail(err, RF_ERR_PLUGIN, "%s: takes more than %d MiB of memory",
                         place_of_call(state), RF_LUA_MEMORY_MAX >> 20);
    else if (result == LUA_ERRMEM || state->memory_lacked) /* also where that became another error, or none */
        status = rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", place_of_call(state));
    else
        status = rf_fail(err, RF_ERR_PLUGIN, "%s", message ? message : "an error without a reason");
    lua_settop(state->lua, 0);
    return status;
}

/* ---- loading ---- */

/* read (name): the source and the place of a required file, or nil and why not. */
static int read_required(lua_State *lua)
{
    rf_lua_state *state = lua_touserdata(lua, lua_upvalueindex(1));
    const rf_lua_part *part;
    rf_err found;

    if (rf_lua_file_require(state->file, luaL_checkstring(lua, 1), &part, &found) != RF_OK) {
        lua_pushnil(lua);
        lua_pushstring(lua, found.message);
        return 2;
    }
    rf_slice bytes = rf_buf_slice(&part->bytes);
    lua_pushlstring(lua, bytes.data, bytes.size);
    lua_pushstring(lua, part->name);
    return 2;
}

static void push_host_function(lua_State *lua, rf_lua_state *state, lua_CFunction function,
                               const char *name)
{
    lua_pushlightuserdata(lua, state);
    lua_pushcclosure(lua, function, 1);
    lua_setfield(lua, -2, name);
}

static void push_address(lua_State *lua, void (*address)(void), const char *name)
{
    void *data;

    memcpy(&data, &address, sizeof data);
    lua_pushlightuserdata(lua, data);
    lua_setfield(lua, -2, name);
}

/* Whether the structs that the chunks declare have our sizes. */
static bool sizes_agree(lua_State *lua, int refold)
{
    lua_getfield(lua, refold, "sizes");
    double sizes = lua_tonumber(lua, -1);
    lua_pop(lua, 1);
    lua_getfield(lua, refold, "evolution_sizes");
    double evolution = lua_tonumber(lua, -1);
    lua_pop(lua, 1);
    if (evolution != (double)sizeof(rf_evolution_tables) + 1e3 * (double)sizeof(rf_upcast) +
                         1e6 * (double)sizeof(rf_upcast_move) +
                         1e9 * (double)sizeof(rf_upcast_batch))
        return false;
    return sizes == (double)sizeof(rf_lua_cursor) + 1e3 * (double)sizeof(rf_projection) +
                        1e6 * (double)sizeof(rf_handler) + 1e9 * (double)sizeof(rf_field);
}

/* give_evolution (address): the tables of what was declared. */
static int give_evolution(lua_State *lua)
{
    rf_lua_state *state = lua_touserdata(lua, lua_upvalueindex(1));
    const rf_evolution_tables *tables;
    uintptr_t address = (uintptr_t)luaL_checknumber(lua, 1);

    memcpy(&tables, &address, sizeof tables);
    state->evolution = *tables;
    state->evolution.name = state->file->parts[0].name;
    state->evolution.ops = state->evolution_only ? &evolution_ops : &projection_ops;
    state->evolution.ops_arg = state->file;
    return 0;
}

/* expect (text): kept with the line of the projection's own file that calls. */
static int take_expect(lua_State *lua)
{
    rf_lua_state *state = lua_touserdata(lua, lua_upvalueindex(1));
    rf_lua_expect *expect = &state->expects[state->expect_count];
    const char *text = luaL_checkstring(lua, 1);
    lua_Debug frame = {0};

    if (state->expect_count == RF_EXPECTATIONS_MAX)
        return luaL_error(lua, "more than %d expectations", RF_EXPECTATIONS_MAX);
    for (int level = 1; lua_getstack(lua, level, &frame); level++) {
        lua_getinfo(lua, "Sl", &frame);
        if (frame.source[0] == '@')
            break;
    }
    const char *place = lua_pushfstring(lua, "%s:%d", frame.source + 1, frame.currentline);
    expect->text = strdup(text);
    expect->place = strdup(place);
    state->expect_count++;
    if (!expect->text || !expect->place)
        return luaL_error(lua, "out of memory");
    return 0;
}

/* Protected: makes the closed world, loads the file into it and keeps what runs it. */
static int load(lua_State *lua)
{
    rf_lua_state *state = lua_touserdata(lua, 1);

    luaL_openlibs(lua);
    lua_newtable(lua);
    int refold = lua_gettop(lua);
    lua_pushlightuserdata(lua, &state->cursor);
    lua_setfield(lua, refold, "cursor_at");
    push_address(lua, (void (*)(void))keep_text, "keep_at");
    push_address(lua, (void (*)(void))rf_runner_computes, "compute_at");
    lua_pushlightuserdata(lua, state->zones);
    lua_setfield(lua, refold, "zones");
    lua_newtable(lua);
    for (size_t i = 0; i < rf_lua_function_count; i++)
        push_address(lua, rf_lua_functions[i].address, rf_lua_functions[i].name);
    lua_setfield(lua, refold, "functions");
    push_host_function(lua, state, look, "look");
    push_host_function(lua, state, read_required, "read");
    push_host_function(lua, state, give_evolution, "give_evolution");
    push_host_function(lua, state, take_expect, "take_expect");
    for (size_t i = 0; i < rf_lua_chunk_count; i++) {
        const rf_lua_chunk *chunk = &rf_lua_chunks[i];
        if (luaL_loadbuffer(lua, chunk->bytes, chunk->size, chunk->name) != 0)
            return lua_error(lua);
        lua_pushvalue(lua, refold);
        lua_call(lua, 1, 0);
    }
    RF_ASSERT(sizes_agree(lua, refold));
    lua_getfield(lua, refold, state->evolution_only ? "load_evolution" : "load");
    rf_slice source = rf_buf_slice(&state->file->parts[0].bytes);
    lua_pushlstring(lua, source.data, source.size);
    lua_pushstring(lua, state->file->parts[0].name);
    lua_call(lua, 2, 0);
    if (!state->evolution_only) {
        lua_getfield(lua, refold, "make");
        lua_call(lua, 0, 1);
        state->run_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
        lua_getfield(lua, refold, "places");
        state->places_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
    }
    lua_getfield(lua, refold, "make_evolution");
    lua_call(lua, 0, 0);
    lua_getfield(lua, refold, "uses_zones");
    state->uses_zones = lua_toboolean(lua, -1) != 0;
    lua_getfield(lua, refold, "run_upcast");
    state->upcast_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
    lua_getfield(lua, refold, "forget");
    state->forget_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
    lua_getfield(lua, refold, "unlive");
    state->unlive_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
    return 0;
}

/* Protected by itself: even to push a function takes memory. What fails within stays on the stack. */
static int begin_load(lua_State *lua)
{
    rf_lua_state *state = lua_touserdata(lua, 1);

    lua_pushcfunction(lua, explain);
    lua_pushvalue(lua, -1);
    state->explain_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
    lua_pushcfunction(lua, load);
    lua_pushlightuserdata(lua, state);
    state->load_result = lua_pcall(lua, 1, 0, -3);
    return state->load_result == 0 ? 0 : lua_error(lua);
}

/* Whatever lacks memory outside of a protected call ends the process. */
static rf_status protect(rf_lua_state *state, rf_err *err)
{
    int result = lua_cpcall(state->lua, begin_load, state);

    return outcome(state, state->load_result != 0 ? state->load_result : result, err);
}

static rf_status state_new(rf_lua_file *file, const volatile int *cancel, bool evolution_only,
                           rf_lua_state **state_out, rf_err *err)
{
    rf_lua_state *state = calloc(1, sizeof *state);

    RF_ASSERT(file && file->count > 0);
    if (state)
        state->lua = luaL_newstate();
    if (!state || !state->lua) {
        free(state);
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a Lua state",
                       file->parts[0].name);
    }
    state->file = file;
    state->cancel = cancel;
    state->evolution_only = evolution_only;
    state->cursor.ticks = TICKS;
    state->memory = (size_t)lua_gc(state->lua, LUA_GCCOUNT, 0) << 10;
    state->allocate = lua_getallocf(state->lua, &state->allocate_arg);
    lua_setallocf(state->lua, allocate, state);
    state->reserve = state->allocate(state->allocate_arg, NULL, 0, RESERVE_SIZE);
    rf_status status = state->reserve ? rf_zones_new(&state->zones, err)
                                      : rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", file->parts[0].name);
    if (status == RF_OK)
        status = protect(state, err);
    if (status != RF_OK) {
        rf_lua_state_free(state);
        return status;
    }
    RF_ASSERT(state->cursor.tables || evolution_only);
    lua_settop(state->lua, 0);
    if (!file->complete) /* later states are made by any thread */
        file->complete = true;
    *state_out = state;
    return RF_OK;
}

rf_status rf_lua_state_new(rf_lua_file *file, const volatile int *cancel, rf_lua_state **state_out,
                           rf_err *err)
{
    return state_new(file, cancel, false, state_out, err);
}

rf_status rf_lua_state_new_evolution(rf_lua_file *file, rf_lua_state **state_out, rf_err *err)
{
    return state_new(file, NULL, true, state_out, err);
}

static rf_status state_take(rf_lua_file *file, const volatile int *cancel, bool evolution_only,
                            rf_lua_state **state_out, rf_err *err)
{
    pthread_mutex_lock(&file->lock);
    rf_lua_state *state = file->idle;
    if (state) {
        file->idle = state->next;
        file->idle_count--;
    }
    pthread_mutex_unlock(&file->lock);
    if (!state)
        return state_new(file, cancel, evolution_only, state_out, err);
    RF_ASSERT(state->evolution_only == evolution_only);
    state->cancel = cancel;
    *state_out = state;
    return RF_OK;
}

rf_status rf_lua_state_take(rf_lua_file *file, const volatile int *cancel, rf_lua_state **state_out,
                            rf_err *err)
{
    return state_take(file, cancel, false, state_out, err);
}

void rf_lua_state_leave(rf_lua_state *state)
{
    if (!state)
        return;
    rf_lua_file *file = state->file;
    bool is_kept = !state->failed && state->memory <= RF_LUA_IDLE_MEMORY_MAX;
    if (is_kept)
        rf_lua_state_forget(state);
    state->cancel = NULL;
    state->cursor.fold = NULL;
    state->cursor.calls = NULL;
    pthread_mutex_lock(&file->lock);
    is_kept = is_kept && file->idle_count < RF_LUA_IDLE_MAX;
    if (is_kept) {
        state->next = file->idle;
        file->idle = state;
        file->idle_count++;
    }
    pthread_mutex_unlock(&file->lock);
    if (!is_kept)
        rf_lua_state_free(state);
}

void rf_lua_state_free_idle(rf_lua_file *file)
{
    while (file->idle) {
        rf_lua_state *state = file->idle;
        file->idle = state->next;
        rf_lua_state_free(state);
    }
    file->idle_count = 0;
}

void rf_lua_state_free(rf_lua_state *state)
{
    if (!state)
        return;
    lua_setallocf(state->lua, state->allocate, state->allocate_arg);
    if (state->reserve)
        (void)state->allocate(state->allocate_arg, state->reserve, RESERVE_SIZE, 0);
    lua_close(state->lua);
    rf_zones_free(state->zones);
    for (uint32_t i = 0; i < state->expect_count; i++) {
        free(state->expects[i].text);
        free(state->expects[i].place);
    }
    free(state);
}

rf_hash128 rf_lua_state_engine_hash(void)
{
    rf_hash128 hash = rf_hash128_of(RF_SLICE(LUAJIT_VERSION));

    for (size_t i = 0; i < rf_lua_chunk_count; i++) {
        const rf_slice parts[] = {{(const char *)&hash, sizeof hash},
                                  {rf_lua_chunks[i].bytes, rf_lua_chunks[i].size}};
        hash = rf_hash128_of_parts(parts, 2);
    }
    return hash;
}

bool rf_lua_state_uses_zones(const rf_lua_state *state)
{
    return state->uses_zones;
}

const rf_projection *rf_lua_state_tables(const rf_lua_state *state)
{
    return state->cursor.tables;
}

const void *rf_lua_state_template(const rf_lua_state *state)
{
    return state->cursor.row_template;
}

/* ---- running ---- */

/* Calls one of our own functions, which fails for lack of memory alone. Then what the state remembers may be
 * over, and it runs no more. */
static void call_own(rf_lua_state *state, int ref)
{
    lua_rawgeti(state->lua, LUA_REGISTRYINDEX, ref);
    if (lua_pcall(state->lua, 0, 0, 0) != 0 || state->memory_lacked)
        state->failed = state->broken = true;
    lua_settop(state->lua, 0);
}

static rf_status check_is_ready(rf_lua_state *state, rf_err *err)
{
    return state->broken ? rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", state->file->parts[0].name) : RF_OK;
}

void rf_lua_state_forget(rf_lua_state *state)
{
    if (state->cursor.texts > 0)
        call_own(state, state->forget_ref);
}

rf_status rf_lua_state_run(rf_lua_state *state, rf_fold *fold, const rf_runner_call *calls,
                           uint32_t count, uint32_t *failed_out, rf_err *err)
{
    RF_ASSERT(calls && count > 0);
    state->cursor.fold = fold;
    state->cursor.calls = calls;
    state->cursor.count = count;
    state->cursor.at = 0;
    state->looked = state->memory_spent = false;
    rf_status status = check_is_ready(state, err);
    if (status == RF_OK) {
        lua_rawgeti(state->lua, LUA_REGISTRYINDEX, state->explain_ref);
        lua_rawgeti(state->lua, LUA_REGISTRYINDEX, state->run_ref);
        status = outcome(state, lua_pcall(state->lua, 0, 0, 1), err);
        lua_settop(state->lua, 0);
    }
    if (status != RF_OK)
        *failed_out = state->cursor.at;
    if (status != RF_OK && state->cursor.live)
        call_own(state, state->unlive_ref);
    return status;
}

/* ---- upcasting ---- */

/* Text that upcasters make. */
struct upcast_text {
    rf_fold fold; /* first */
    rf_arena *arena;
};

static char *upcast_alloc(rf_fold *fold, size_t size)
{
    return rf_arena_bytes(((struct upcast_text *)fold)->arena, size);
}

static rf_status run_upcast(void *arg, uint32_t index, rf_upcast_batch *batch, rf_err *err)
{
    rf_lua_state *state = arg;
    struct upcast_text text = {.fold = {.abi = RF_PROJECTION_ABI, .alloc = upcast_alloc},
                               .arena = batch->text};

    state->cursor.fold = &text.fold;
    state->cursor.calls = NULL;
    state->cursor.at = 0;
    state->looked = state->memory_spent = false;
    rf_status status = check_is_ready(state, err);
    if (status == RF_OK) {
        lua_rawgeti(state->lua, LUA_REGISTRYINDEX, state->explain_ref);
        lua_rawgeti(state->lua, LUA_REGISTRYINDEX, state->upcast_ref);
        lua_pushnumber(state->lua, index);
        lua_pushlightuserdata(state->lua, batch);
        status = outcome(state, lua_pcall(state->lua, 2, 0, 1), err);
        lua_settop(state->lua, 0);
    }
    state->cursor.fold = NULL;
    batch->failed = state->cursor.at;
    return status;
}

static rf_status open_projection(void *file, const volatile int *cancel, void **state_out,
                                 rf_err *err)
{
    return state_take(file, cancel, false, (rf_lua_state **)state_out, err);
}

static rf_status open_evolution(void *file, const volatile int *cancel, void **state_out,
                                rf_err *err)
{
    return state_take(file, cancel, true, (rf_lua_state **)state_out, err);
}

static void close_state(void *state)
{
    rf_lua_state_leave(state);
}

const rf_evolution_tables *rf_lua_state_evolution(const rf_lua_state *state)
{
    return state->evolution.name ? &state->evolution : NULL;
}

const rf_lua_expect *rf_lua_state_expects(const rf_lua_state *state, uint32_t *count_out)
{
    *count_out = state->expect_count;
    return state->expects;
}
