/* Where the machine has no memory for Lua any more a rebuild fails in one line, and the process goes on: whichever
 * allocation it is, of loading a file, running it, or making it ready for the next call. LuaJIT ends the process
 * where memory lacks outside of a protected call, and where it lacks while a trace is compiled it goes on with one that is half
 * made: it crashed in one run of five.
 *
 * Lua states are given an allocator that fails: luaL_newstate is this file's, in place of the library's. */
#include "refold/refold.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct lua_State lua_State;
typedef void *(*lua_Alloc)(void *arg, void *old, size_t old_size, size_t size);
extern lua_Alloc lua_getallocf(lua_State *lua, void **arg_out);
extern void lua_setallocf(lua_State *lua, lua_Alloc allocate, void *arg);
lua_State *luaL_newstate(void);

enum { NEVER = -1 };
static long left = NEVER; /* allocations until one fails */
static long made;
static bool all_from_then; /* until as much is given back: the machine has no more than what is in use then */
static long long in_use, most; /* bytes; what a state has before it is ours is not known */

struct own {
    lua_Alloc allocate;
    void *arg;
};

static void *allocate(void *arg, void *old, size_t old_size, size_t size)
{
    const struct own *own = arg;
    const long long grown = (long long)size - (long long)old_size;

    if (size > old_size) {
        made++;
        if (left == 0) {
            left = NEVER;
            most = all_from_then ? in_use : LLONG_MAX;
            return NULL;
        }
        left -= left > 0;
        if (most < LLONG_MAX && in_use + grown > most)
            return NULL;
    }
    in_use += grown;
    return own->allocate(own->arg, old, old_size, size);
}

lua_State *luaL_newstate(void)
{
    static struct own owns[4096]; /* they live as long as their state, which is nearly as long as the process */
    static size_t count;
    lua_State *(*next)(void);

    *(void **)&next = dlsym(RTLD_NEXT, "luaL_newstate");
    lua_State *lua = next();
    cr_assert(lua && count < sizeof owns / sizeof owns[0]);
    struct own *own = &owns[count++];
    own->allocate = lua_getallocf(lua, &own->arg);
    lua_setallocf(lua, allocate, own);
    return lua;
}

static char dir[64];
static char path[96];
static rf_store *store;
static char digest[64];

static const char lua[] =
    "name 't' version (1) key 'stream'\n"
    "columns { 'n int', 's text', 'l list(sku text, qty int)' }\n"
    "rename ('Was', 'Put')\n"
    "upcast ('Put', 1, { 'q int' }, function (e) e.qty = e.q + 1 end)\n"
    "on ('Put', { 'sku text', 'qty int' }, function (row, e)\n"
    "    row.n = row.n + e.qty\n"
    "    row.s = (row.s or '') .. e.sku .. row.n\n"
    "    row.l[#row.l + 1] = { sku = e.sku .. row.n, qty = e.qty }\n"
    "end)\n";

static void setup(void)
{
    const rf_store_options create = {.create = true, .partitions = 2};
    char store_path[96];
    rf_err err = {0};

    (void)snprintf(dir, sizeof dir, "/tmp/refold-lua-memory-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(store_path, sizeof store_path, "%s/shop.refold", dir);
    cr_assert_eq(rf_store_open(store_path, &create, &store, &err), RF_OK, "%s", err.message);
    (void)snprintf(path, sizeof path, "%s/t.lua", dir);
    FILE *file = fopen(path, "w");
    cr_assert(file && fputs(lua, file) >= 0);
    cr_assert_eq(fclose(file), 0);
    for (int i = 0; i < 40; i++) {
        char line[160];
        int size = snprintf(line, sizeof line,
                            "{\"stream\":\"s-%d\",\"type\":\"%s\",\"schema\":%d,\"data\":{\"sku\":\"a%d\",\"%s\":%d}}\n", i % 7,
                            i % 3 ? "Put" : "Was", 1 + i % 2, i, i % 2 ? "qty" : "q", i);
        const rf_appending log_only = {.log_only = true};
        cr_assert_eq(rf_append_lines(store, (rf_slice){line, (size_t)size}, &log_only, NULL, &err), RF_OK, "%s", err.message);
    }
}

static void teardown(void)
{
    char command[160];

    rf_store_close(store);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(lua_memory, .init = setup, .fini = teardown);

static rf_status rebuild(long fails_at, bool for_good, rf_err *err)
{
    const rf_rebuild_options options = {.full = true, .no_swap = true};
    const char *projection = path;
    rf_rebuild_report *report = NULL;

    left = fails_at;
    all_from_then = for_good;
    most = LLONG_MAX;
    rf_status status = rf_rebuild(store, &projection, 1, &options, &report, err);
    left = NEVER;
    most = LLONG_MAX;
    if (status == RF_OK) { /* what was lacking was done without */
        if (!*digest)
            (void)snprintf(digest, sizeof digest, "%s", report->projections[0].digest);
        cr_assert_str_eq(digest, report->projections[0].digest);
    }
    rf_rebuild_report_free(report);
    return status;
}

/* The store keeps what it has loaded, and idle states with it: so each run begins with a store that is opened anew. */
static void open_anew(void)
{
    char store_path[96];

    rf_store_close(store);
    (void)snprintf(store_path, sizeof store_path, "%s/shop.refold", dir);
    cr_assert_eq(rf_store_open(store_path, NULL, &store, NULL), RF_OK);
}

/* All of the first, where a state is made, and then some of what is left. */
static void fail_at_each(bool for_good)
{
    rf_err err = {0};
    uint32_t failed = 0;

    made = 0;
    cr_assert_eq(rebuild(NEVER, false, &err), RF_OK, "%s", err.message);
    const long all = made;
    cr_assert_gt(all, 1000);
    for (long n = 0; n < all; n += n < 12 ? 1 : all / 45) {
        open_anew();
        rf_status status = rebuild(n, for_good, &err);
        failed += status != RF_OK;
        /* a compiler of traces does without; and how many allocations there are differs a little */
        cr_assert(status == RF_ERR_MEMORY || (status == RF_OK && (!for_good || n > all / 10 * 9)), "allocation %ld of %ld: %d, %s", n, all, status,
                  err.message);
        if (status != RF_OK)
            cr_assert(strstr(err.message, "out of memory") && !strstr(err.message, "refold skip"), "%s", err.message);
    }
    cr_assert_gt(failed, 40);
    open_anew();
    cr_assert_eq(rebuild(NEVER, false, &err), RF_OK, "%s", err.message);
}

Test(lua_memory, one_allocation_that_fails_ends_the_rebuild_and_not_the_process)
{
    fail_at_each(false);
}

Test(lua_memory, all_allocations_that_fail_end_the_rebuild_and_not_the_process)
{
    fail_at_each(true);
}
