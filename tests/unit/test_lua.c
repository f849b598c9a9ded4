/* lua_state.h, lua_file.h and the Lua chunks: what a projection's file may say, each refusal with its
 * line; what handlers see and do, call by call. */
#include "base/arena.h"
#include "base/file.h"
#include "projection/lua_state.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- files ---- */

static char folder[64];

static void folder_make(void)
{
    strcpy(folder, "/tmp/refold-lua.XXXXXX");
    cr_assert(mkdtemp(folder));
}

static void folder_remove(void)
{
    cr_assert_eq(rf_dir_remove(folder, NULL), RF_OK);
}

static const char *file_make(const char *name, const char *source)
{
    static char path[128];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "w");
    cr_assert(file);
    cr_assert_eq(fwrite(source, 1, strlen(source), file), strlen(source));
    cr_assert_eq(fclose(file), 0);
    return path;
}

#define HEAD "name 'p' version (1) columns { 'n int', 't text', 'd decimal(2)', 'f float', " \
             "'b bool', 'at time' }\n"

static rf_definition *load(const char *source)
{
    rf_definition *definition = NULL;
    rf_err err = {0};

    rf_status status = rf_definition_load(file_make("p.lua", source), &definition, &err);
    cr_assert_eq(status, RF_OK, "%s", err.message);
    return definition;
}

/* ---- refusals while loading ---- */

struct refusal {
    char source[320];
    char message[160]; /* that the error's has, after the folder */
};

ParameterizedTestParameters(lua, refuses_while_loading)
{
    static struct refusal refusals[] = {
        {HEAD "on ('A', every_row, function (row, e)\n row.t = row.key end)",
         "p.lua:3: row.key is not known where a handler gets every row"},
        {"x = 1", "p.lua:1: `x` would be assigned outside of its function; write `local x`"},
        {HEAD "function f() end", "p.lua:2: `f` would be assigned"},
        {HEAD "local n = 0\non ('A', function (row, e)\n n = n + 1 end)", "p.lua:4: `n` is assigned"},
        {HEAD "local s\non ('A', function (row, e)\n s = 'x' end)", "p.lua:4: `s` is assigned"},
        {HEAD "local s\non ('A', function (row, e)\n s = nil end)", "p.lua:4: `s` is assigned"},
        {HEAD "local s\non ('A', function (row, e)\n s = 1 end)", "p.lua:4: `s` is assigned"},
        {"local a = os.time()", "p.lua:1: `os` is not known in a projection"},
        {"io.open('x')", "`io` is not known"},
        {"local f = require 'ffi'", "require (\"ffi\"): "},
        {"require '../x'", "a file beside this one is named without"},
        {"ffi.cdef ''", "`ffi` is not known"},
        {"package.loaded = 1", "`package` is not known"},
        {"debug.getinfo(1)", "`debug` is not known"},
        {"load 'x'", "`load` is not known"},
        {"loadstring 'x'", "`loadstring` is not known"},
        {"dofile 'x'", "`dofile` is not known"},
        {"coroutine.wrap(1)", "`coroutine` is not known"},
        {"setmetatable({}, {})", "`setmetatable` is not known"},
        {"getmetatable('')", "`getmetatable` is not known"},
        {"rawset({}, 1, 1)", "`rawset` is not known"},
        {"getfenv(1)", "`getfenv` is not known"},
        {"setfenv(1, {})", "`setfenv` is not known"},
        {"collectgarbage()", "`collectgarbage` is not known"},
        {"local g = _G", "`_G` is not known"},
        {"pcall(error)", "`pcall` is not known"},
        {"print 'x'", "`print` is not known"},
        {"jit.off()", "`jit` is not known"},
        {"newproxy()", "`newproxy` is not known"},
        {"local r = math.random()", "p.lua:1: attempt to call field 'random'"},
        {"math.randomseed(1)", "attempt to call field 'randomseed'"},
        {"math.floor = 1", "p.lua:1: a table from outside the handler cannot be changed"},
        {"string.dump(error)", "attempt to call field 'dump'"},
        {"(''):dump()", "attempt to call method 'dump'"},
        {"local s = ('%p'):format({})", "%p is not available"},
        {"local s = ('%5.3p'):format({})", "%p is not available"},
        {"local s = ('%s'):format({})", "p.lua:1: a table has no text"},
        {"local s = ('%s'):format(error)", "a function has no text"},
        {"tostring({})", "a table has no text"},
        {"tostring(error)", "a function has no text"},
        {"next({ [{}] = 1 })", "a table with a table as key has no order"},
        {"for k in pairs({ [error] = 1 }) do end", "a table with a function as key has no order"},
        {"name 'p'\nname 'q'", "p.lua:2: `name` is declared twice"},
        {"name 'P'", "the name `P` is not [a-z]"},
        {"name (1)", "the name is a number; it must be a text"},
        {"version (0)", "a version is a whole number"},
        {"version (1.5)", "a version is a whole number"},
        {"columns {}", "columns is a list of texts"},
        {"columns { 'a' }", "`a` has no kind"},
        {"columns { 'a integer' }", "`integer` is no kind"},
        {"columns { 'a int', 'a int' }", "two columns are called a"},
        {"columns { 'A int' }", "a column's name is a-z, 0-9 and _"},
        {"columns { 'key int' }", "a column cannot be called key"},
        {"columns { 'exists int' }", "a column cannot be called exists"},
        {"columns { 'delete int' }", "a column cannot be called delete"},
        {"columns { 'a decimal' }", "a decimal has its places"},
        {"columns { 'a decimal(19)' }", "a decimal has its places"},
        {"columns { 'a int(2)' }", "only decimal and list have something in brackets"},
        {"columns { 'a int?' }", "`?` is not expected here"},
        {"columns { 'a list' }", "a list names its members"},
        {"columns { 'a list(x)' }", "`x` is no member of a list"},
        {"columns { 'a list(x list(y int))' }", "is no member of a list"},
        {HEAD "on ('A')", "p.lua:2: on (\"A\"): the last argument is a nil"},
        {HEAD "on (1, {}, function () end)", "the type of on is a number"},
        {HEAD "on ('', {}, function () end)", "a type has 1 to 255 bytes"},
        {"#!/bin/sh", "p.lua:1: a projection begins with Lua source"},
        {HEAD "on ('A', {}, math.floor)", "the handler is none of your own functions"},
        {HEAD "on ('A', 'qty int', function () end)", "the fields are a string"},
        {HEAD "on ('A', { x = 'qty int' }, function () end)", "`x` is no place in it"},
        {HEAD "on ('A', { 'qty' }, function () end)", "`qty` has no kind"},
        {HEAD "on ('A', { 'qty int', 'qty text' }, function () end)", "two fields are called `qty`"},
        {HEAD "on ('A', { 'type text' }, function () end)", "would hide the event's own `type`"},
        {HEAD "on ('A', { 'has text' }, function () end)", "would hide the event's own `has`"},
        {HEAD "on ('A', { 'a[].b text' }, function () end)", "paths into arrays"},
        {HEAD "on ('A', { '\"a text' }, function () end)", "a quoted name without its end"},
        {HEAD "on ('A', { 'a int half_even' }, function () end)", "only a decimal is rounded"},
        {HEAD "on ('A', { 'a decimal(2) sideways' }, function () end)", "`sideways` is not expected"},
        {HEAD "on ('A', { 'a int as' }, function () end)", "`as` needs a name"},
        {HEAD "on ('A', { 'a int as b c' }, function () end)", "`c` is not expected here"},
        {HEAD "on ('A', { 'a list(x int)' }, function () end)", "an event has no lists"},
        {"key {}", "a key is a text, or a table of texts"},
        {"key (1)", "a key is a text, or a table of texts"},
        {"key 'customer'", "`customer` has no kind"},
        {"key { 'a text', B = 'c text' }", "a key is either a list of parts or a table of types"},
        {"key 'a text' key 'b text'", "`key` is declared twice"},
        {HEAD "key { B = 'c text' } on ('A', function () end)", "the key tells nothing of this type"},
        {HEAD "on ('A', {}, by ({}, function () end), function () end)", "a computed key needs the kinds"},
        {"by ({}, 1)", "by (fields, function): the second is a number"},
        {"carry 'x'", "carry { NAME = { TYPE = "},
        {"carry { a = 'x' }", "carry: `a` is a table of types"},
        {"combine { a = 'mean' }", "combine: `mean` of a"},
        {HEAD "combine { m = 'sum' } on ('A', function () end)", "combine: there is no column `m`"},
        {"name 'p' version (1) columns { 'n int', 'x list(y int)' } combine { n = 'sum' } "
         "on ('A', function () end)", "combine: column x is a list, and lists do not combine"},
        {HEAD "index 'm' on ('A', function () end)", "index: there is no column `m`"},
        {"index {}", "an index is a column or a list of columns"},
        {"no_key 'skip'", "no_key knows \"ignore\" only"},
        {"round 'x'", "p.lua:1: round of a string; it takes numbers"},
        {"round (1, 'odd')", "round: the modes are"},
        {"round (2^60)", "round: the result"},
        {"muldiv (1, 1, 0)", "muldiv: the result"},
        {"rescale (1, 0, 19)", "rescale: the result"},
        {"money 'x'", "money \"x\": it"},
        {"money '1.234'", "money \"1.234\": it"},
        {"date (nil)", "date of a nil; it takes numbers"},
        {"date (0.5)", "date of 0.5; it takes a time"},
        {"year (0.5, 'days')", "year of 0.5; it takes a date"},
        {"hour (1, 'days')", "`days` is no time zone"},
        {"date (1, 'days')", "`days` is no time zone"},
        {"hour (0, 'Nowhere/At_All')", "`Nowhere/At_All` is no time zone"},
        {HEAD "on ('A', {}, 7, function () end)", "there may be by (...) or every_row"},
        {"version (1) columns { 'a int' } on ('A', function () end)", "no `name` is declared"},
        {"name 'p' columns { 'a int' } on ('A', function () end)", "no `version` is declared"},
        {"name 'p' version (1) on ('A', function () end)", "no `columns` is declared"},
        {HEAD, "no handler"},
        {"local x = = 1", "p.lua:1: unexpected symbol near '='"},
        {"\n\nlocal x = 'a", "p.lua:3: unfinished string"},
        {"require 'absent'", "absent.lua"},
        {"require 'p'", "the file requires itself"},
        {"error { }", "an error whose value is no text"},
        {"error 'mine'", "p.lua:1: mine"},
        {"while true do end", "p.lua:1: runs for more than 5 s"},
        {"local s = ('x'):rep(2^29)", "takes more than 256 MiB of memory"},
        {"local t = {} for i = 1, 2^40 do t[i] = {} end", "takes more than 256 MiB of memory"},
        {"local function f() return f() end repeat f() until false", "runs for more than 5 s"},
        {"::a:: goto a", "runs for more than 5 s"},
        {"local function f() return 1 + f() end f()", "stack overflow"},
        {"\033LJ\002", "p.lua:1: a projection begins with Lua source"},
        {"\xef\xbb\xbf\xef\xbb\xbf#", "p.lua:1: a projection begins with Lua source"},
    };
    return cr_make_param_array(struct refusal, refusals, sizeof refusals / sizeof refusals[0]);
}

static void expect_refused(const struct refusal *refusal)
{
    rf_definition *definition = NULL;
    rf_err err = {0};

    rf_status status = rf_definition_load(file_make("p.lua", refusal->source), &definition, &err);
    cr_expect_eq(status, RF_ERR_PLUGIN, "%s", refusal->source);
    cr_expect(strstr(err.message, refusal->message), "%s\n    gave %s\n    not %s", refusal->source,
              err.message, refusal->message);
    if (status == RF_OK)
        rf_definition_free(definition);
}

ParameterizedTest(struct refusal *refusal, lua, refuses_while_loading)
{
    expect_refused(refusal);
}

#define DATES "name 'p' version (1) key 'day date' columns { 'n int', 'd date', 'at time' }\n"
#define ON "on ('A', { 'day date', 'at time as t' }, function (row, e)\n"

ParameterizedTestParameters(lua, refuses_dates_given_as_times)
{
    static struct refusal refusals[] = {
        {DATES ON "row.n = month (e.day) end)",
         "p.lua:3: `e.day` is a date and no time; write month (e.day, \"days\")"},
        {DATES ON "\nrow.n = year (row.d, 'Europe/Prague') end)",
         "p.lua:4: `row.d` is a date and no time; write year (row.d, \"days\")"},
        {DATES ON "row.n = 1 row.d = day (row.key, nil) end)", "write day (row.key, \"days\")"},
        {DATES ON "local d = e.day\nif d then row.n = 1 + month(d) end end)",
         "p.lua:4: `e.day` is a date and no time"},
        {DATES "local m = month " ON "return m (e.day) end)", "p.lua:3: `e.day` is a date"},
        {DATES ON "row.n = hour (e.day) end)", "p.lua:3: `e.day` is a date, and `hour` takes a time"},
        {DATES ON "row.d = date (row.d, 'days') end)", "`row.d` is a date, and `date` takes a time"},
        {DATES "carry { born = { B = 'day date' } }\n" ON "row.n = year (e.carried.born) end)",
         "p.lua:4: `e.carried.born` is a date and no time"},
        {DATES "on ('A', by ({ 'day date' }, function (e)\n return month (e.day) end),\n"
               "function (row, e) end)",
         "p.lua:3: `e.day` is a date and no time"},
        {DATES "upcast ('A', 1, { 'day date' }, function (e)\n e.month = month (e.day) end)\n"
               "on ('A', { 'month int' }, function (row, e) end)",
         "p.lua:3: `e.day` is a date and no time"},
        /* Through functions of the file, wherever the date stands among what they are given. */
        {DATES "local function m (t)\nreturn month (t) end\n" ON "row.n = m (e.day) end)",
         "p.lua:3: `e.day` is a date and no time; write month (e.day, \"days\")"},
        {DATES "local function m (t)\nreturn month (t) end\n" ON "return m (row.d) end)",
         "p.lua:3: `row.d` is a date"},
        {DATES "local function m (n, x)\nif n > 1 then return year (x.day) end end\n"
               "local function o (e) return m (2, e) end\n" ON "row.n = m (1, row) + o (e) end)",
         "p.lua:3: `e.day` is a date"},
        {DATES "local h = { function (t) return t end }\nlocal function m (t, z)\nlocal u = t\n"
               "return day (u, z) end\n" ON "row.n = m (e.t) + m (e.day, nil) end)",
         "p.lua:5: `e.day` is a date"},
        {DATES "local function m (t)\nif t then return hour (t) end\nreturn m (t) end\n"
               "local function k (r)\nreturn m (r.key) end\n" ON "row.n = k (row) end)",
         "p.lua:3: `row.key` is a date, and `hour` takes a time"},
    };
    return cr_make_param_array(struct refusal, refusals, sizeof refusals / sizeof refusals[0]);
}

ParameterizedTest(struct refusal *refusal, lua, refuses_dates_given_as_times)
{
    expect_refused(refusal);
}

Test(lua, dates_that_are_told_as_such_and_times_are_taken)
{
    static const char *const bodies[] = {
        "row.n = month (e.day, 'days') end)",
        "row.n = month (row.at) + hour (e.t, 'Europe/Prague') row.d = date (e.t) end)",
        "local d = e.day d = e.t row.n = month (d) end)",
        "local d, z = e.day, 'days' if row.at then d, z = e.t, 'UTC' end row.n = month (d, z) end)",
        "local d = e.t if row.n > 0 then d = e.day row.d = d return end row.n = month (d) end)",
        "local e = { day = e.t } row.n = month (e.day) end)",
        "for d = e.day, 9 do row.n = row.n + month (d * 86400e6) end end)",
        "row.n = of_day (e.day) + of_day (row.d) + of_time (e.t) + of_time (row.at) end)",
        "row.n = turns (e.day, 9) + of_first (e.t, 2, e.day) + other (e) end)",
    };
    static const char functions[] =
        "local function of_day (d) return month (d, 'days') end\n"
        "local function of_time (t) return month (t) + hour (t, 'Europe/Prague') end\n"
        "local function turns (d, n) return n > 0 and turns (d, n - 1) or day (d, 'days') end\n"
        "local function of_first (a) return year (a) end\n"
        "local function other (x) local day = x.t return month (day) end\n";
    char source[1024];

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        (void)snprintf(source, sizeof source, DATES "%s" ON "%s", functions, bodies[i]);
        rf_definition_free(load(source));
    }
}

TestSuite(lua, .init = folder_make, .fini = folder_remove);

Test(lua, refuses_what_is_no_utf8_text)
{
    rf_definition *definition = NULL;
    rf_err err = {0};

    cr_expect_eq(rf_definition_load(file_make("p.lua", "-- \xff"), &definition, &err),
                 RF_ERR_PLUGIN);
    cr_expect(strstr(err.message, "not UTF-8"));
}

Test(lua, declares_what_the_engine_needs)
{
    rf_definition *definition = load(
        "name 'p' version (7) key 'stream'\n"
        "columns { 'n int', 'd decimal(2)', 'at time', 't text' }\n"
        "on ('A', { 'qty int', 'a.b text? as c', 'p decimal(3) half_up', '\"x:y\" bool' },\n"
        "    function (row, e) row.t = e.stream if e:has 'qty' then row.n = e['x:y'] and 1 or 0 end end)\n"
        "on ('*', function (row, e) row.at = e.time end)\n");

    cr_expect_str_eq(definition->name, "p");
    cr_expect_eq(definition->version, 7);
    cr_expect_eq(definition->column_count, 4);
    cr_expect_eq(definition->columns[1].kind, RF_DECIMAL);
    cr_expect_eq(definition->columns[1].scale, 2);
    cr_assert_eq(definition->handler_count, 2);
    const rf_definition_handler *first = &definition->handlers[0];
    cr_assert_eq(first->field_count, 5);
    cr_expect(rf_slice_equal(first->fields[1].path_text, RF_SLICE("a.b")));
    cr_expect_eq(first->fields[1].field.optional, 1);
    cr_expect_neq(first->fields[0].field.present_offset, RF_NO_PRESENT);
    cr_expect_eq(first->fields[1].field.present_offset, RF_NO_PRESENT);
    cr_expect_eq(first->fields[2].field.rounding, RF_ROUND_HALF_UP);
    cr_expect(rf_slice_equal(first->fields[3].path_text, RF_SLICE("x:y")));
    cr_expect_eq(first->fields[4].field.source, RF_EVENT_STREAM);
    cr_expect(definition->handlers[1].every_type);
    cr_assert_eq(definition->handlers[1].field_count, 1);
    cr_expect_eq(definition->handlers[1].fields[0].field.source, RF_EVENT_TIME);
    rf_definition_free(definition);
}

struct context {
    rf_fold fold;
    rf_arena arena;
};

static char *context_alloc(rf_fold *fold, size_t size)
{
    return rf_arena_bytes(&((struct context *)fold)->arena, size);
}

static void context_fail(rf_fold *fold, const char *reason)
{
    (void)fold, (void)reason;
    cr_assert_fail("not called for a runner");
}

/* Of keys the tables only: the state has them whatever the engine does with them. */
Test(lua, declares_keys_carries_indexes_and_combined_columns)
{
    rf_lua_file *file = NULL;
    rf_lua_state *state = NULL;
    rf_err err = {0};
    const char *source =
        "name 'p' version (1) key { 'warehouse text', 'day date' } columns { 'qty int', 'c text' }\n"
        "carry { customer = { A = 'id text', B = 'who.id text' } }\n"
        "combine { qty = 'sum' } index 'qty' index { 'c', 'qty' } no_key 'ignore' all_types ()\n"
        "on ('A', { 'q int' }, by { 'to text', 'day date' }, function (row, e)\n"
        "  row.qty = row.qty + e.q row.c = e.carried.customer end)\n"
        "on ('B', by ({ 'x int' }, function (e) return 'w' .. e.x, 7 end), function (row, e) end)\n"
        "on ('*', {}, every_row, function (row, e) end)\n";

    cr_assert_eq(rf_lua_file_open(file_make("p.lua", source), &file, &err), RF_OK);
    cr_assert_eq(rf_lua_state_new(file, NULL, &state, &err), RF_OK, "%s", err.message);
    const rf_projection *tables = rf_lua_state_tables(state);
    cr_expect_null(tables->key);
    cr_assert_eq(tables->key_by->part_count, 2);
    cr_expect_str_eq(tables->key_by->parts[0].path, "warehouse");
    cr_expect_eq(tables->key_by->parts[1].kind, RF_DATE);
    cr_assert_eq(tables->carry_count, 2);
    cr_expect_str_eq(tables->carries[1].type, "B");
    cr_expect_str_eq(tables->carries[1].field.path, "who.id");
    cr_assert_eq(tables->index_count, 2);
    cr_expect_eq(tables->indexes[1].column_count, 2);
    cr_expect_eq(tables->columns[0].combine, RF_COMBINE_SUM);
    cr_expect_eq(tables->flags, RF_PROJECTION_ALL_TYPES | RF_PROJECTION_NO_KEY_IGNORE);
    const rf_handler *handlers = tables->handlers;
    cr_assert_eq(handlers[0].field_count, 2);
    cr_expect_eq(handlers[0].fields[1].source, RF_CARRIED);
    cr_expect_str_eq(handlers[0].fields[1].path, "customer");
    cr_expect_str_eq(handlers[0].key->parts[0].path, "to");
    cr_assert(handlers[1].key->compute);
    cr_assert_eq(handlers[1].key->field_count, 1);
    cr_expect_eq(handlers[2].every_row, 1);

    int64_t event[1] = {41};
    int64_t parts[3] = {0, 0, RF_TIME_NONE};
    uint8_t flags = 0;
    uint32_t failed;
    struct context context = {.fold = {RF_PROJECTION_ABI, context_alloc, context_fail}};
    const rf_runner_call call = {parts, &flags, event, 3 + 1};
    cr_assert_eq(handlers[1].key->parts_size, sizeof parts);
    rf_arena_init(&context.arena, 1 << 20);
    cr_expect_eq(rf_lua_state_run(state, &context.fold, &call, 1, &failed, &err), RF_OK, "%s",
                 err.message);
    rf_slice part;
    memcpy(&part, parts, sizeof part);
    cr_expect(rf_slice_is(part, "w41"));
    cr_expect_eq(parts[2], 7);
    rf_arena_free(&context.arena);
    rf_lua_state_free(state);
    rf_lua_file_free(file);
}

/* ---- running ---- */

/* One row, and an event of the first handler's fields at known offsets. */
struct run {
    rf_definition *definition;
    rf_runner *runner;
    struct context context;
    char *row;
    uint8_t flags;
    int64_t event[32];
};

static struct run *run_begin(const char *source)
{
    struct run *run = calloc(1, sizeof *run);
    rf_err err = {0};

    cr_assert(run);
    run->definition = load(source);
    cr_assert_eq(rf_runner_new(run->definition, NULL, &run->runner, &err), RF_OK, "%s", err.message);
    run->context.fold = (rf_fold){RF_PROJECTION_ABI, context_alloc, context_fail};
    rf_arena_init(&run->context.arena, 1 << 20);
    run->row = malloc(run->definition->row_size);
    cr_assert(run->row);
    memcpy(run->row, run->definition->row_template, run->definition->row_size);
    run->flags = RF_RUNNER_TOUCHED;
    return run;
}

static void run_end(struct run *run)
{
    rf_runner_free(run->runner);
    rf_definition_free(run->definition);
    rf_arena_free(&run->context.arena);
    free(run->row);
    free(run);
}

/* Runs the first handler; the message is empty if it went well. */
static const char *run_once(struct run *run)
{
    static rf_err err;
    uint32_t failed = 99;
    const rf_runner_call call = {run->row, &run->flags, run->event, 0};

    err = (rf_err){0};
    rf_runner_forget(run->runner);
    rf_status status =
        rf_runner_run(run->runner, &run->context.fold, &call, 1, &failed, &err);
    if (status != RF_OK)
        cr_expect_eq(failed, 0);
    return status == RF_OK ? "" : err.message;
}

static void *column(struct run *run, const char *name)
{
    for (uint32_t i = 0; i < run->definition->column_count; i++)
        if (strcmp(run->definition->columns[i].name, name) == 0)
            return run->row + run->definition->columns[i].offset;
    cr_assert_fail("no column %s", name);
    return NULL;
}

static int64_t number(struct run *run, const char *name)
{
    int64_t value;
    memcpy(&value, column(run, name), sizeof value);
    return value;
}

static bool text_is(struct run *run, const char *name, const char *expected)
{
    rf_slice value;
    memcpy(&value, column(run, name), sizeof value);
    return rf_slice_is(value, expected);
}

static void put(struct run *run, uint32_t field, const void *value, size_t size)
{
    const rf_definition_handler *handler = &run->definition->handlers[0];
    memcpy((char *)run->event + handler->fields[field].field.offset, value, size);
}

static void put_int(struct run *run, uint32_t field, int64_t value)
{
    put(run, field, &value, sizeof value);
}

/* What goes wrong inside a handler, with its line and what it tried. */
struct failure {
    char body[200]; /* of a handler with the fields q int, s text, at line 3 */
    char message[128];
};

ParameterizedTestParameters(lua, refuses_while_running)
{
    static struct failure failures[] = {
        {"row.n = 0.5", "p.lua:3: column n (int) cannot hold 0.5: it is not whole"},
        {"row.d = 19.99", "column d (decimal(2)) cannot hold 19.989999999999998: it is not whole"},
        {"row.n = 2^53", "column n (int) cannot hold 9007199254740992: it is not below 2^53"},
        {"row.n = -2^53", "it is not below 2^53"},
        {"row.n = 1/0", "column n (int) cannot hold inf"},
        {"row.n = 0/0", "column n (int) cannot hold"},
        {"row.n = 9007199254740993LL", "cannot hold 9007199254740993: it is not below 2^53"},
        {"row.n = e.q", "cannot hold 9007199254740993: it is not below 2^53"},
        {"row.n = 'x'", "column n (int) cannot hold `x`"},
        {"row.n = true", "column n (int) cannot hold true"},
        {"row.n = {}", "column n (int) cannot hold a table"},
        {"row.t = 1", "column t (text) cannot hold 1"},
        {"row.t = ('\\195\\169'):sub(1, 1)", "a text that is no UTF-8, as if it were cut"},
        {"row.t = {}", "column t (text) cannot hold a table"},
        {"row.t = ('x'):rep(2^31)", "rep: 2147483648 times is too often"},
        {"row.n = e.s\nrow.n = 1", "p.lua:3: column n (int) cannot hold `abc`"},
        {"row.t = e.q\nrow.n = 1", "p.lua:3: column t (text) cannot hold 9007199254740993"},
        {"row.m = e.s\nrow.n = 1", "p.lua:3: the row has no column `m`"},
        {"row.t = e.m\nrow.n = 1", "p.lua:3: the handler of A declares no field `m`"},
        {"row.b = 1", "column b (bool) cannot hold 1"},
        {"row.f = 'x'", "column f (float) cannot hold `x`"},
        {"row.f = 0/0", "column f (float) cannot hold"},
        {"row.f = 1/0", "column f (float) cannot hold inf"},
        {"row.at = 0.5", "column at (time) cannot hold 0.5"},
        {"row.at = 'x'", "column at (time) cannot hold `x`"},
        {"(('a'):rep(5000)):find('.-.-.-.-b')", "find: the pattern \".-.-.-.-b\" takes more than"},
        {"('a'):find('(')", "find: the pattern \"(\" is malformed"},
        {"('a'):find('%')", "find: the pattern \"%\" is malformed"},
        {"('a'):find('[a')", "find: the pattern \"[a\" is malformed"},
        {"('a'):match('%1')", "match: the pattern \"%1\" is malformed"},
        {"('a'):match('(a')", "match: the pattern \"(a\" is malformed"},
        {"('a'):find(('(a?)'):rep(40))", "is too deep"},
        {"('a'):gsub('a', '%2')", "the replacement names %2"},
        {"('a'):gsub('a', true)", "gsub: the replacement is a boolean"},
        {"row.m = 1", "the row has no column `m`"},
        {"row.total = 1", "the row has no column `total`"},
        {"local x = row.nn", "the row has no column `nn`; did you mean `n`?"},
        {"row[1] = 1", "the row has no column `1`"},
        {"local x = row[1]", "the row has no column `1`"},
        {"row.key = 1", "the row has no column `key`"},
        {"local x = e.r", "the handler of A declares no field `r`"},
        {"e.q = 1", "an event cannot be changed"},
        {"e:has 'z'", "the handler of A declares no field `z`"},
        {"local x = row + 1", "a row has no arithmetic, order or text"},
        {"local x = e .. 'x'", "an event has no arithmetic, order or text"},
        {"local x = #row", "a row has no arithmetic, order or text"},
        {"local x = row < e", "has no arithmetic, order or text"},
        {"row()", "has no arithmetic, order or text"},
        {"tostring(row)", "a row or event has no text"},
        {"for k in pairs(row) do end", "pairs of a row or event"},
        {"const.a = 2", "p.lua:3: a table from outside the handler cannot be changed (member `a`)"},
        {"const.list[1] = 2", "a table from outside the handler cannot be changed"},
        {"table.insert(const.list, 2)", "bad argument"},
        {"table.sort(const.list)", "bad argument"},
        {"table.remove(const.list)", "bad argument"},
        {"on ('B', function () end)", "`on` is a declaration; it has no place in a handler"},
        {"require 'x'", "`require` is a declaration"},
        {"local x = e.s.y.z", "attempt to index"},
        {"local x = e.s + nil", "attempt to perform arithmetic"},
        {"error 'no such customer'", "p.lua:3: no such customer"},
        {"error ('bare', 0)", "p.lua:3: bare"},
        {"assert(false, 'must not be')", "must not be"},
        {"helper(row)", "p.lua:2: column n (int) cannot hold 0.25"},
        {"while true do end", "p.lua:3: runs for more than 5 s"},
        {"for i = 1, 1/0 do end", "runs for more than 5 s"},
        {"local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
         "p.lua:3: takes more than 256 MiB"},
        {"local s = e.s while true do s = s .. s end", "p.lua:3: takes more than 256 MiB"},
    };
    return cr_make_param_array(struct failure, failures, sizeof failures / sizeof failures[0]);
}

ParameterizedTest(struct failure *failure, lua, refuses_while_running)
{
    char source[1024];

    (void)snprintf(source, sizeof source,
                   HEAD "local const = { a = 1, list = { 1 } } local function helper(row) row.n = 0.25 end\n"
                        "on ('A', { 'q int', 's text' }, function (row, e) %s end)",
                   failure->body);
    struct run *run = run_begin(source);
    put_int(run, 0, (1LL << 53) + 1);
    put(run, 1, &RF_SLICE("abc"), sizeof(rf_slice));
    const char *message = run_once(run);
    cr_expect(strstr(message, failure->message), "%s\n    gave %s\n    not %s", failure->body,
              message, failure->message);
    run_end(run);
}

Test(lua, a_handler_reads_and_writes_all_kinds)
{
    struct run *run = run_begin(
        HEAD "on ('A', { 'q int', 's text', 'x float', 'y bool', 'w decimal(2)' }, function (row, e)\n"
             "  row.n = row.n + e.q  row.t = e.s .. '!'  row.d = row.d + e.w * 2\n"
             "  row.f = e.x / 2  row.b = e.y  row.at = 5 end)");
    const double half = 0.5;
    const bool yes = true;

    put_int(run, 0, 40);
    put(run, 1, &RF_SLICE("abc"), sizeof(rf_slice));
    put(run, 2, &half, sizeof half);
    put(run, 3, &yes, sizeof yes);
    put_int(run, 4, 1999);
    for (int i = 0; i < 500; i++) /* interpreted first, then compiled */
        cr_assert_str_eq(run_once(run), "");
    cr_expect_eq(run->flags, RF_RUNNER_TOUCHED | RF_RUNNER_EXISTS);
    cr_expect_eq(number(run, "n"), 500 * 40);
    cr_expect_eq(number(run, "d"), 500 * 2 * 1999);
    cr_expect_eq(number(run, "at"), 5);
    cr_expect(text_is(run, "t", "abc!"));
    cr_expect_eq(*(double *)column(run, "f"), 0.25);
    cr_expect(*(bool *)column(run, "b"));
    run_end(run);
}

Test(lua, unset_columns_and_fields_read_as_nil_or_zero_and_nil_unsets)
{
    struct run *run = run_begin(
        HEAD "on ('A', { 'q int', 's text', 'c time' }, function (row, e)\n"
             "  assert(row.n == 0 and row.t == nil and row.d == 0 and row.f == 0 and row.b == false)\n"
             "  assert(row.at == nil and e.q == 0 and e.s == nil and e.c == nil and not e:has 's')\n"
             "  row.n = 1 row.t = '' assert(row.t == '') row.at = 1 row.b = true row.f = 1\n"
             "  row.n = nil row.t = nil row.at = nil row.b = nil row.f = nil end)");

    put_int(run, 2, RF_TIME_NONE);
    cr_assert_str_eq(run_once(run), "");
    cr_expect_eq(memcmp(run->row, run->definition->row_template, run->definition->row_size), 0);
    run_end(run);
}

Test(lua, a_handler_that_writes_nothing_makes_no_row)
{
    struct run *run = run_begin(HEAD "on ('A', function (row, e) if row.exists then row.n = 1 end end)");

    cr_assert_str_eq(run_once(run), "");
    cr_expect_eq(run->flags, RF_RUNNER_TOUCHED);
    run->flags |= RF_RUNNER_EXISTS;
    cr_assert_str_eq(run_once(run), "");
    cr_expect_eq(run->flags, RF_RUNNER_TOUCHED | RF_RUNNER_EXISTS);
    cr_expect_eq(number(run, "n"), 1);
    run_end(run);
}

Test(lua, delete_removes_the_row_and_a_later_write_begins_a_new_one)
{
    struct run *run = run_begin(
        HEAD "on ('A', { 'q int' }, function (row, e)\n"
             "  row.n = 7  row.t = 'x'  row:delete()\n"
             "  assert(row.n == 0 and row.t == nil and not row.exists)\n"
             "  if e.q == 1 then row.t = 'new' assert(row.exists) end end)");

    cr_assert_str_eq(run_once(run), "");
    cr_expect_eq(run->flags, RF_RUNNER_TOUCHED);
    put_int(run, 0, 1);
    cr_assert_str_eq(run_once(run), "");
    cr_expect_eq(run->flags, RF_RUNNER_TOUCHED | RF_RUNNER_EXISTS);
    cr_expect_eq(number(run, "n"), 0);
    cr_expect(text_is(run, "t", "new"));
    run_end(run);
}

Test(lua, row_key_is_the_stream)
{
    struct run *run = run_begin(HEAD "on ('A', function (row, e) row.t = row.key end)");

    cr_assert_eq(run->definition->handlers[0].field_count, 1);
    put(run, 0, &RF_SLICE("order-1"), sizeof(rf_slice));
    cr_assert_str_eq(run_once(run), "");
    cr_expect(text_is(run, "t", "order-1"));
    run_end(run);
}

Test(lua, large_integers_arrive_whole)
{
    struct run *run = run_begin(
        HEAD "on ('A', { 'q int' }, function (row, e)\n"
             "  assert(type(e.q) == 'number')  row.t = tostring(e.q)  row.n = e.q / 2LL / 1024LL end)");

    put_int(run, 0, INT64_MAX);
    cr_assert_str_eq(run_once(run), "");
    cr_expect(text_is(run, "t", "9223372036854775807"));
    cr_expect_eq(number(run, "n"), INT64_MAX / 2 / 1024);
    run_end(run);
}

Test(lua, pairs_and_next_go_in_the_order_of_keys)
{
    struct run *run = run_begin(
        HEAD "local const = { b = 1, a = 2, [3] = 3, [1] = 4, [true] = 5 }\n"
             "on ('A', function (row, e)\n"
             "  local s = '' for k, v in pairs(const) do s = s .. tostring(k) .. v end\n"
             "  local k = next(const) assert(k == true) k = next(const, k) assert(k == 1)\n"
             "  assert(type(const) == 'table' and const.b == 1 and #const == 1)\n"
             "  for i, v in ipairs({ 7, 8 }) do s = s .. v end\n"
             "  row.t = s end)");

    cr_assert_str_eq(run_once(run), "");
    cr_expect(text_is(run, "t", "true51433a2b178"));
    run_end(run);
}

Test(lua, next_gives_the_first_key_in_compiled_code_too)
{
    struct run *run = run_begin(HEAD "local const = { 3, 2, 1 }\n"
                                     "on ('A', function (row, e)\n"
                                     "  for i = 1, 1000 do\n"
                                     "    row.n = next(const)  assert(row.n == 1)  end end)");

    cr_assert_str_eq(run_once(run), "");
    cr_expect_eq(number(run, "n"), 1);
    run_end(run);
}

Test(lua, rounding_is_not_offered_for_what_is_no_number)
{
    struct run *run = run_begin(HEAD "on ('A', function (row, e) row.n = 0/0 end)");

    const char *message = run_once(run);
    cr_expect(strstr(message, "column n (int) cannot hold"), "%s", message);
    cr_expect_not(strstr(message, "round"), "%s", message);
    run_end(run);
}

Test(lua, numbers_and_the_calendar_are_exact)
{
    struct run *run = run_begin(
        HEAD "on ('A', { 'q int' }, function (row, e)\n"
             "  assert(round(2.5) == 2 and round(2.5, 'half_up') == 3 and money '19.99' == 1999)\n"
             "  assert(muldiv(1999, 119, 100) == 2379 and rescale(12345, 3, 2) == 1234)\n"
             "  assert(money('1.5', 3) == 1500 and round(e.q) == 7)\n"
             "  assert(year(0) == 1970 and month(0) == 1 and day(0) == 1 and hour(0) == 0)\n"
             "  assert(year(19914, 'days') == 2024 and month(19914, 'days') == 7)\n"
             "  assert(day(19914, 'days') == 10 and year(-1, 'days') == 1969)\n"
             "  assert(date(86400e6) == 1 and hour(0, 'Europe/Berlin') == 1)\n"
             "  assert(date(23 * 3600e6, 'Europe/Berlin') == 1) end)");

    put_int(run, 0, 7);
    for (int i = 0; i < 200; i++)
        cr_assert_str_eq(run_once(run), "");
    run_end(run);
}

#define JSON_HEAD "name 'p' version (1) columns { 'l list(a text, n int, d decimal(2), at time, on date, b " \
                  "bool, x float, j json)', 'j json', 'n int' }\n"

Test(lua, lists_and_json_are_changed_in_place_and_written_once_in_one_form)
{
    struct run *run = run_begin(
        JSON_HEAD "on ('A', { 'j json' }, function (row, e)\n"
                  "  assert(#row.l == 0 and row.j == nil)\n"
                  "  row.l[1] = { a = 'x\\n', n = 3, d = -199, at = 1720612800123456, on = 19914, b = true,\n"
                  "    x = 0.1, j = { z = 1, y = { true } } }\n"
                  "  row.l[#row.l + 1] = {}\n"
                  "  row.j = e.j  row.j.more = { [1] = 7, [2] = 'u' }  row.j.c = nil  row.n = #row.l end)");
    const rf_slice text = RF_SLICE("{\"b\": [1, 2.50, -0, 1e3], \"a\": {\"\\u00e9\\ud83d\\ude00\": [], "
                                   "\"o\": {}}, \"c\": null, \"i\": 9007199254740993}");

    put(run, 0, &text, sizeof text);
    cr_assert_str_eq(run_once(run), "");
    cr_expect(text_is(run, "l",
                      "[{\"a\":\"x\\n\",\"n\":3,\"d\":\"-1.99\",\"at\":\"2024-07-10T12:00:00.123456Z\","
                      "\"on\":\"2024-07-10\",\"b\":true,\"x\":0.1,\"j\":{\"y\":[true],\"z\":1}},"
                      "{\"a\":null,\"n\":0,\"d\":\"0.00\",\"at\":null,\"on\":null,\"b\":false,\"x\":0,"
                      "\"j\":null}]"));
    cr_expect(text_is(run, "j",
                      "{\"a\":{\"o\":{},\"\xc3\xa9\xf0\x9f\x98\x80\":[]},\"b\":[1,2.5,0,1000],"
                      "\"i\":9007199254740993,\"more\":[7,\"u\"]}"));
    cr_expect_eq(number(run, "n"), 2);
    run_end(run);
}

Test(lua, lists_read_back_what_was_stored)
{
    struct run *run = run_begin(
        JSON_HEAD "on ('A', { 'q int' }, function (row, e)\n"
                  "  if e.q == 0 then row.l = { { a = 'x', d = -5, at = -1, on = -1, n = 2 } } return end\n"
                  "  local one = row.l[1]\n"
                  "  assert(one.a == 'x' and one.d == -5 and one.at == -1 and one.on == -1 and one.n == 2)\n"
                  "  assert(one.j == nil and one.b == false)\n"
                  "  one.n = one.n + 1  if e.q == 2 then row:delete() end end)");

    cr_assert_str_eq(run_once(run), "");
    put_int(run, 0, 1);
    cr_assert_str_eq(run_once(run), "");
    rf_slice list;
    memcpy(&list, column(run, "l"), sizeof list);
    cr_expect(strstr(list.data, "\"n\":3"));
    put_int(run, 0, 2);
    cr_expect(strstr(run_once(run), "assertion failed"));
    run_end(run);
}

Test(lua, a_list_changed_in_place_makes_a_row_and_one_that_is_read_does_not)
{
    struct run *run = run_begin(
        JSON_HEAD "on ('A', { 'q int' }, function (row, e)\n"
                  "  assert(not row.exists and #row.l == 0)\n"
                  "  if e.q == 1 then row.l[1] = { n = 1 } assert(row.exists) end\n"
                  "  if e.q == 2 then row:delete() row.l[1] = { n = 2 } end end)");

    cr_assert_str_eq(run_once(run), "");
    cr_expect_eq(run->flags, RF_RUNNER_TOUCHED);
    for (int64_t q = 1; q <= 2; q++) {
        run->flags = RF_RUNNER_TOUCHED;
        memcpy(run->row, run->definition->row_template, run->definition->row_size);
        put_int(run, 0, q);
        cr_assert_str_eq(run_once(run), "");
        cr_expect_eq(run->flags, RF_RUNNER_TOUCHED | RF_RUNNER_EXISTS);
        rf_slice list;
        memcpy(&list, column(run, "l"), sizeof list);
        cr_expect(strstr(list.data, q == 1 ? "\"n\":1" : "\"n\":2"));
    }
    run_end(run);
}

Test(lua, a_deleted_row_has_empty_lists)
{
    struct run *run = run_begin(JSON_HEAD "on ('A', function (row, e) row.l[1] = {} row.j = { 1 } row:delete() "
                                          "assert(#row.l == 0 and row.j == nil) end)");

    cr_assert_str_eq(run_once(run), "");
    cr_expect_eq(run->flags, RF_RUNNER_TOUCHED);
    cr_expect(text_is(run, "l", "[]"));
    run_end(run);
}

ParameterizedTestParameters(lua, refuses_json_that_cannot_be)
{
    static struct failure failures[] = {
        {"row.l = 1", "column l (list) cannot hold 1"},
        {"row.l = 'x'", "column l (list) cannot hold `x`"},
        {"row.l = { a = 1 }", "column l (list) cannot hold a table with names"},
        {"row.l = { 1 }", "column l: element 1 is a number, not a table"},
        {"row.l[1] = { z = 1 }", "column l: element 1 has `z`, which the list does not declare"},
        {"row.l[1] = { n = 0.5 }", "column l: n of element 1 (int) cannot hold 0.5"},
        {"row.l[1] = { d = 2^53 }", "column l: d of element 1 (decimal) cannot hold 9007199254740992"},
        {"row.l[1] = { a = 1 }", "column l: a of element 1 (text) cannot hold 1"},
        {"row.l[1] = { x = 0/0 }", "column l: x of element 1 (float) cannot hold"},
        {"row.j = { 1, x = 2 }", "a json value has the key 1"},
        {"row.j = { [1.5] = 2 }", "a json value has the key 1.5"},
        {"row.j = 1/0", "a json value has the number inf"},
        {"row.j = row", "a json value has a row or event"},
        {"row.j = { tostring }", "a json value has a function"},
        {"local t = {} t[1] = t row.j = t", "a json value is deeper than 64"},
        {"row.j = ('\\195\\169'):sub(1, 1)", "a text of a json value is no UTF-8"},
        {"local x = e.j", "the number 123456789012345678901234567890 of a json value is beyond 64 bits"},
    };
    return cr_make_param_array(struct failure, failures, sizeof failures / sizeof failures[0]);
}

ParameterizedTest(struct failure *failure, lua, refuses_json_that_cannot_be)
{
    const rf_slice text = RF_SLICE("{\"n\":123456789012345678901234567890}");
    char source[1024];

    (void)snprintf(source, sizeof source, JSON_HEAD "on ('A', { 'j json' }, function (row, e) %s end)",
                   failure->body);
    struct run *run = run_begin(source);
    put(run, 0, &text, sizeof text);
    const char *message = run_once(run);
    cr_expect(strstr(message, failure->message), "%s\n    gave %s\n    not %s", failure->body,
              message, failure->message);
    run_end(run);
}

/* Against the results of Lua 5.1. */
Test(lua, patterns_match_as_those_of_lua_do)
{
    struct run *run = run_begin(
        HEAD "local function all(...) local t = { ... } for i = 1, select('#', ...) do\n"
             "  t[i] = tostring(t[i]) end return table.concat(t, ',') end\n"
             "on ('A', function (row, e)\n"
             "  local function is(given, wanted) if given ~= wanted then error(given .. ' not ' .. wanted) end end\n"
             "  is(all(('hello world'):find('o w')), '5,7')\n"
             "  is(all(('hello'):find('l+')), '3,4')  is(all(('hello'):find('xyz*')), 'nil')\n"
             "  is(all(('a.b'):find('.', 1, true)), '2,2')  is(all(('abc'):find('b', -1)), 'nil')\n"
             "  is(all(('k = v'):match('^(%w+)%s*=%s*(%w+)$')), 'k,v')\n"
             "  is(all(('2024-07-10'):match('(%d+)-(%d+)-(%d+)')), '2024,07,10')\n"
             "  is(all(('abc'):match('()b()')), '2,3')  is(all((''):match('.-')), '')\n"
             "  is(all(('f(a(b)c)d'):match('%b()')), '(a(b)c)')\n"
             "  is(all(('THE (quick) fox'):find('%f[%a]%a+%f[%A]')), '1,3')\n"
             "  is(all(('abab'):match('(ab)%1')), 'ab')  is(all(('x]y'):match('[]]')), ']')\n"
             "  is(all(('x-y'):match('[a%-z]')), '-')  is(all(('x-y'):match('[^a-z]')), '-')\n"
             "  is(all(('aXb'):match('%u')), 'X')  is(all(('aab'):match('a?b')), 'ab')\n"
             "  is(all(('aaab'):match('a-b')), 'aaab')  is(all(('a$'):match('a$$')), 'a$')\n"
             "  is(all(('abc'):gsub('', '-')), '-a-b-c-,4')  is(all(('abc'):gsub('%w', '%0%0')), 'aabbcc,3')\n"
             "  is(all(('hello world'):gsub('(%w+) (%w+)', '%2 %1')), 'world hello,1')\n"
             "  is(all(('abc'):gsub('%w', { a = 1, b = true and 'x' })), '1xc,3')\n"
             "  is(all(('abc'):gsub('b', function () end)), 'abc,1')  is(all(('aaa'):gsub('a', 'b', 2)), 'bba,2')\n"
             "  is(all(('aaa'):gsub('^a', 'b')), 'baa,1')  is(all(('x'):gsub('x', '%%')), '%,1')\n"
             "  local s = '' for w, n in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do s = s .. w .. n end is(s, 'a1b2')\n"
             "  s = '' for w in ('one two'):gmatch('%a+') do s = s .. w .. ';' end is(s, 'one;two;')\n"
             "  row.n = 1 end)");

    cr_assert_str_eq(run_once(run), "");
    run_end(run);
}

/* What the source is made of must not show: copies are found by how they are written. */
Test(lua, a_plain_copy_is_an_assignment_like_any_other)
{
    struct run *run = run_begin(
        HEAD "local function swap(row, e) row.x = e.y return row.x end\n"
             "on ('A', { 's text', 'q int', 'none text' }, function (row, e)\n"
             "  row.t = e.s row.n = e.q\n  assert(row.t == 'abc' and row.n == 7)\n"
             "  row.t = e.none\n  assert(row.t == nil)\n"
             "  row.t = e.none or 'x'\n  assert(row.t == 'x')\n"
             "  row.t = e.none\n  or 'y' assert(row.t == 'y')\n"
             "  row.t = e.s;\n  assert(swap({}, { y = e.s }) == 'abc')\n"
             "  local s = 'row.t = e.q\\n' assert(#s == 12)\n"
             "  row.t = e.s .. '!' assert(row.t == 'abc!')\n"
             "  row.n, row.t = 1, e.s\n  do local e = { s = 'own' } row.t = e.s end\n end)");

    put(run, 0, &RF_SLICE("abc"), sizeof(rf_slice));
    put_int(run, 1, 7);
    for (int i = 0; i < 200; i++)
        cr_assert_str_eq(run_once(run), "");
    cr_expect(text_is(run, "t", "own"));
    run_end(run);
}

Test(lua, text_that_moved_is_read_anew)
{
    struct run *run = run_begin(HEAD "on ('A', { 's text' }, function (row, e) row.t = e.s .. '' end)");
    char bytes[] = "first";
    const rf_slice text = {bytes, 5};

    put(run, 0, &text, sizeof text);
    cr_assert_str_eq(run_once(run), "");
    cr_expect(text_is(run, "t", "first"));
    memcpy(bytes, "other", 5);
    cr_assert_str_eq(run_once(run), "");
    cr_expect(text_is(run, "t", "other"));
    run_end(run);
}

Test(lua, the_call_that_fails_is_told)
{
    struct run *run = run_begin(HEAD "on ('A', { 'q int' }, function (row, e) row.n = row.n + e.q / 2 end)");
    int64_t events[100][4] = {{0}};
    rf_runner_call calls[100];
    uint32_t failed = 0;
    rf_err err = {0};

    for (int i = 0; i < 100; i++) {
        events[i][0] = i == 77 ? 1 : 2;
        calls[i] = (rf_runner_call){run->row, &run->flags, events[i], 0};
    }
    rf_runner_forget(run->runner);
    cr_expect_eq(rf_runner_run(run->runner, &run->context.fold, calls, 100, &failed, &err),
                 RF_ERR_PLUGIN);
    cr_expect_eq(failed, 77);
    cr_expect(strstr(err.message, "p.lua:2: column n (int) cannot hold 77.5"), "%s", err.message);
    run_end(run);
}

Test(lua, a_required_file_belongs_to_the_definition)
{
    rf_definition *definition = NULL;
    rf_hash128 hash;
    rf_err err = {0};
    char saved[160];

    file_make("money.lua", "local function twice(n) return 2 * n end return { twice = twice }");
    definition = load(HEAD "local money = require 'money'\n"
                           "on ('A', { 'q int' }, function (row, e) row.n = money.twice(e.q) end)");
    file_make("money.lua", "return 1"); /* what was read counts */
    (void)snprintf(saved, sizeof saved, "%s/kept", folder);
    cr_assert_eq(rf_dir_make(saved, &err), RF_OK);
    strcat(saved, "/p.lua");
    cr_assert_eq(rf_definition_save(definition, saved, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_definition_hash_file(saved, &hash, &err), RF_OK, "%s", err.message);
    cr_expect_eq(hash.low, definition->content_hash.low);
    cr_expect_eq(hash.high, definition->content_hash.high);
    rf_definition_free(definition);
    cr_assert_eq(rf_definition_load(saved, &definition, &err), RF_OK, "%s", err.message);
    cr_expect_eq(hash.low, definition->content_hash.low);
    rf_runner *runner = NULL;
    cr_expect_eq(rf_runner_new(definition, NULL, &runner, &err), RF_OK, "%s", err.message);
    rf_runner_free(runner);
    rf_definition_free(definition);
}

/* Another refold, or LuaJIT, may make other rows of the same files. */
Test(lua, what_runs_it_counts_in_the_engine_hash)
{
    struct {
        rf_hash128 zones, lua;
        uint64_t abi;
    } engine = {{0, 0}, {0, 0}, RF_PROJECTION_ABI};
    const rf_slice bytes = {(const char *)&engine, sizeof engine};
    rf_definition *definition = load(HEAD "on ('A', { 'q int' }, function (row, e) row.n = e.q end)");

    cr_expect_neq(definition->engine_hash.low, rf_hash128_of(bytes).low);
    engine.lua = rf_lua_state_engine_hash();
    cr_expect_neq(engine.lua.low, 0);
    cr_expect_eq(definition->engine_hash.low, rf_hash128_of(bytes).low);
    rf_definition_free(definition);
}

/* A change of the zone table changes rows, and no definition. */
Test(lua, zones_count_in_the_engine_hash_where_they_are_used)
{
    rf_definition *without = load(HEAD "on ('A', { 'q int' }, function (row, e) row.n = e.q end)");
    rf_definition *with = load(
        HEAD "on ('A', { 'q int' }, function (row, e) row.n = hour(e.time, 'Europe/Prague') end)");
    rf_definition *upcast = load(
        HEAD "upcast ('A', 1, { 'q int' }, function (e) e.m = day(0, 'Asia/Tokyo') + e.q end)\n"
             "on ('A', { 'm int' }, function (row, e) row.n = e.m end)");

    cr_expect_neq(without->engine_hash.low, with->engine_hash.low);
    cr_expect_eq(with->engine_hash.low, upcast->engine_hash.low);
    rf_definition_free(without);
    rf_definition_free(with);
    rf_definition_free(upcast);
}

Test(lua, a_cancelled_handler_ends)
{
    struct run *run = run_begin(HEAD "on ('A', function (row, e) while true do end end)");
    volatile int cancel = 0;
    rf_runner *runner = NULL;
    uint32_t failed = 0;
    rf_err err = {0};
    const rf_runner_call call = {run->row, &run->flags, run->event, 0};

    cr_assert_eq(rf_runner_new(run->definition, &cancel, &runner, &err), RF_OK);
    cancel = 1;
    cr_expect_eq(rf_runner_run(runner, &run->context.fold, &call, 1, &failed, &err),
                 RF_ERR_INTERRUPTED);
    rf_runner_free(runner);
    run_end(run);
}

static rf_runner *runner_of(struct run *run)
{
    rf_err err = {0};
    rf_runner *runner = NULL;

    cr_assert_eq(rf_runner_new(run->definition, NULL, &runner, &err), RF_OK, "%s", err.message);
    return runner;
}

Test(lua, a_runner_that_is_left_is_taken_by_the_next_and_knows_nothing_of_what_it_ran)
{
    struct run *run = run_begin(
        HEAD "on ('A', { 's text', 'list json' }, function (row, e)\n"
             "  for _, v in ipairs(e.list) do row.n = row.n + v end row.t = row.t or e.s end)");
    char bytes[] = "first";
    char list[] = "[1,2,3]";
    const rf_slice text = {bytes, 5};
    const rf_slice json = {list, 7};

    put(run, 0, &text, sizeof text);
    put(run, 1, &json, sizeof json);
    cr_assert_str_eq(run_once(run), "");
    cr_expect_eq(number(run, "n"), 6);
    for (int i = 0; i < 3; i++) {
        rf_lua_state *idle = run->definition->lua->idle;
        rf_runner_free(run->runner);
        cr_assert_eq(run->definition->lua->idle_count, 1);
        cr_assert(!idle);
        run->runner = runner_of(run);
        cr_assert_eq(run->definition->lua->idle_count, 0, "it was taken");
        memcpy(bytes, i % 2 ? "third" : "other", 5); /* where the first text stood */
        memcpy(list, "[10,20]", 7);
        memcpy(run->row, run->definition->row_template, run->definition->row_size);
        cr_assert_str_eq(run_once(run), "");
        cr_expect_eq(number(run, "n"), 30);
        cr_expect(text_is(run, "t", i % 2 ? "third" : "other"));
    }
    run_end(run);
}

Test(lua, runners_at_the_same_time_have_a_state_each)
{
    struct run *run = run_begin(HEAD "on ('A', { 'q int' }, function (row, e) row.n = e.q end)");
    rf_runner *runners[RF_LUA_IDLE_MAX + 2];

    for (int i = 0; i < RF_LUA_IDLE_MAX + 2; i++)
        runners[i] = runner_of(run);
    for (int i = 0; i < RF_LUA_IDLE_MAX + 2; i++)
        rf_runner_free(runners[i]);
    cr_expect_eq(run->definition->lua->idle_count, RF_LUA_IDLE_MAX, "no more are kept");
    run_end(run);
}

Test(lua, a_runner_that_failed_is_not_taken_again)
{
    struct run *run = run_begin(HEAD "on ('A', { 'q int' }, function (row, e) row.n = e.q / 2 end)");

    run->event[0] = 1;
    cr_expect_str_neq(run_once(run), "");
    rf_runner_free(run->runner);
    cr_expect_eq(run->definition->lua->idle_count, 0);
    run->runner = runner_of(run);
    run->event[0] = 4;
    cr_expect_str_eq(run_once(run), "");
    cr_expect_eq(number(run, "n"), 2);
    run_end(run);
}

/* Each call that is due has its own five seconds, and a cancel that is gone is not looked at. */
Test(lua, a_runner_that_is_taken_again_looks_at_the_cancel_of_who_took_it)
{
    struct run *run = run_begin(
        HEAD "on ('A', { 'q int' }, function (row, e) for i = 1, 1000000 do row.n = e.q end end)");
    volatile int *cancel = calloc(1, sizeof *cancel);
    rf_runner *runner = NULL;

    run->event[0] = 7;
    rf_runner_free(run->runner);
    cr_assert_eq(rf_runner_new(run->definition, cancel, &runner, NULL), RF_OK);
    rf_runner_free(runner);
    *cancel = 1;
    run->runner = runner_of(run);
    cr_expect_str_eq(run_once(run), "", "another's cancel");
    free((void *)(uintptr_t)cancel);
    cr_expect_str_eq(run_once(run), "");
    rf_runner_free(run->runner);
    volatile int own = 1;
    cr_assert_eq(rf_runner_new(run->definition, &own, &run->runner, NULL), RF_OK);
    cr_expect(strstr(run_once(run), "interrupted"));
    run_end(run);
}
