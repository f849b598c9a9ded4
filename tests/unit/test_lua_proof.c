/* lua_proof.lua and lua_branches.lua: which handlers of combined columns are let through, and each that
 * is not with its line. tests/model/combined.py tells that what is let through is right. */
#include "base/file.h"
#include "projection/definition.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

TestSuite(lua_proof, .init = folder_make, .fini = folder_remove);

/* The handler's body stands in line 8. */
static const char head[] =
    "name 'p' version (1) key 'sku text'\n"
    "local function wrong(row, e) row.n = e.n end columns { 'n int', 'm int', 'd decimal(2)',\n"
    " 'low int', 'high int', 'lowf float', 'at time', 'since time', 'most text', 'f text', 'g int',\n"
    " 'l text', 'any1 bool', 'all1 bool' } combine { n = 'sum', m = 'count', d = 'sum', low = 'min',\n"
    " high = 'max', lowf = 'min', at = 'max', since = 'min', most = 'max', f = 'first', g = 'first',\n"
    " l = 'last', any1 = 'any', all1 = 'all' } local min, M = math.min, {}\n"
    "local function add(row, e, k) row.n = row.n + e.n row.n = k + row.n end M.add = add M.twice = "
    "function (x) return 2 * x end M.join = function (a, b) if #a > 3 then return 'long' end return a .. b "
    "end M.change = function (t) t.x = 1 return 'x' end M.apply = function (f, x) return f(x) end M.fill = "
    "function (row, e) row.l = e.t return 'x' end on ('A', { 'n int', 't text', 'b bool', 'f float', 'at time', "
    "'j json' }, function (row, e)\n";

static rf_status load(const char *body, rf_err *err)
{
    char path[96];
    rf_definition *definition = NULL;

    (void)snprintf(path, sizeof path, "%s/p.lua", folder);
    FILE *file = fopen(path, "w");
    cr_assert(file);
    cr_assert_gt(fprintf(file, "%s%s\nend)\n", head, body), 0);
    cr_assert_eq(fclose(file), 0);
    rf_status status = rf_definition_load(path, &definition, err);
    if (status == RF_OK)
        rf_definition_free(definition);
    return status;
}

Test(lua_proof, lets_through_what_combines)
{
    static const char *const bodies[] = {
        "row.n = row.n + 1",
        "row.n = 1 + row.n",
        "row.n = row.n - e.n * 2",
        "row.n, row.m = row.n + e.n, row.m + 1",
        "local unused = row.n + 100",
        "for i = 1, e.n do row.d = row.d + 150 - 50 end add(row, e, 3)",
        "M.add(row, e, M.twice(e.n))",
        "return add(row, e, 1)",
        "for k, v in pairs(e.j) do row.n = row.n + v end",
        "for i, v in ipairs(e.j) do if v.x then row.n = row.n + v.x break end end",
        "while e.n > 3 do row.n = row.n + 1 end",
        "repeat row.n = row.n + 1 until e.n == 1",
        "local s = row.n if e.b then s = s + 1 end row.n = s",
        "row.n = (row.n or 0) + e.n",
        "row.low = e.n",
        "row.low = math.min(row.low, e.n)",
        "row.low = min(e.n, row.low, 5)",
        "row.low = math.min(row.low, math.max(e.n, 3))",
        "if e.n < row.low then row.low = e.n end",
        "if row.low > e.n then row.low = e.n end",
        "if e.n <= row.low then row.low = e.n end",
        "if e.n * 2 > row.high then row.high = e.n * 2 end",
        "local v = e.n + 1 if v > row.high then row.high = v end",
        "if e.n < row.low then row.low = e.n end if e.n > row.high then row.high = e.n end",
        "if e.f < row.lowf then row.lowf = e.f end",
        "row.at = e.time",
        "row.at = math.max(row.at or 0, e.time)",
        "row.at = math.max(row.at or e.time, e.time)",
        "if not row.at or e.time > row.at then row.at = e.time end",
        "if row.at == nil or e.time > row.at then row.at = e.time end",
        "if not row.since or row.since > e.at then row.since = e.at end",
        "if not row.most or e.t > row.most then row.most = e.t end",
        "row.most = e.t",
        "row.f = e.t",
        "row.f = row.f or e.t",
        "if not row.f then row.f = e.t end",
        "if row.f == nil then row.f = e.t end",
        "row.g = e.n",
        "row.l = e.t",
        "row.any1 = e.b",
        "row.any1 = row.any1 or e.b",
        "row.any1 = e.b or row.any1",
        "if e.b then row.any1 = true end",
        "row.all1 = row.all1 and e.b",
        "row.all1 = e.b and row.all1",
        "if not e.b then row.all1 = false end",
        "row.l = row.key",
        "if e.b then row.l = e.t .. 'x' else row.m = row.m + 1 end",
        "local r = row r.n = r.n + 1",
        "row.low = e.b and e.n or 7",
        "table.sort(e.j, function (a, b) return a < b end) row.n = row.n + #e.j",
        "goto done ::done:: row.n = row.n + 1",
        "row[\"n\"] = row[\"n\"] + 1",
        "row.n = row.n + (e:has 'n' and e.n or 0)",
        "row.f = row.f or e.t or 'x'",
        "row.f = row.f or (e.b and e.t) or 'x'",
        "row.f = row.f or ((e.t or 'none'):sub(1, 3) .. tostring(e.n))",
        "if not row.f then row.f = e.t or 'x' end",
        "if not row.f then if e.b then row.f = e.t else row.f = 'y' end end",
        "if e.n < row.low then if e.b then row.low = e.n end end",
        "row.any1 = row.any1 or e.b and e.n > 3 or e.f < 2",
        "row.all1 = row.all1 and (e.b or e.n > 3)",
        "row.at = math.max(row.at or 0, math.max(e.time, e.at or 0))",
        "row.f = row.f or e.t:upper():sub(1, 2)",
        "if e.n < row.low and e.b then row.low = e.n end",
        "row.f = row.f or M.join(e.t, tostring(M.twice(e.n)))",
        "row.f = row.f or (e:has 'n' and 'x' or 'y')",
        "if not row.f then row.f = tostring(e:has 't' and e.n or 0) end",
        "row.any1 = row.any1 or e:has 't' and e.b",
    };

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        rf_err err = {0};
        cr_expect_eq(load(bodies[i], &err), RF_OK, "%s\n    gave %s", bodies[i], err.message);
    }
}

struct refusal {
    char body[120];
    char message[112]; /* without place: line 8 */
};

ParameterizedTestParameters(lua_proof, refuses_with_the_line_what_asks_for_what_was)
{
    static struct refusal refusals[] = {
        {"row.n = row.n * 2 + 1", "column n is combined, what "},
        {"row.n = e.n - row.n", "column n is combined, what "},
        {"row.n = row.n + row.n", "column n is combined, what "},
        {"row.n = -row.n", "column n is combined, what "},
        {"if row.n > 5 then row.n = row.n + 1 end", "column n is combined, what "},
        {"row.l = 'x' .. row.n", "column n is combined, what "},
        {"row.n = M.twice(row.n)", "column n is combined, what "},
        {"add(row.n, e, 1)", "column n is combined, what "},
        {"tostring(row.n)", "column n is combined, what "},
        {"local t = {} t[1] = row.n", "column n is combined, what "},
        {"for i = 1, row.n do row.m = row.m + 1 end", "column n is combined, what "},
        {"while row.n do row.n = row.n + 1 end", "column n is combined, what "},
        {"local s = e.b and row.n or 5 row.n = s", "column n is combined, what "},
        {"local s = row.n + 1 row.n = row.n + 2 row.n = s", "column n is combined, what "},
        {"local s = row.n row.n = s + 1 row.n = s + 5", "column n is combined, what "},
        {"local s = row.n add(row, e, 1) row.n = s + 1", "column n is combined, what "},
        {"row.n = e.n", "column n is combined; write row.n = row.n + ... and not what it is to be"},
        {"row.n = nil", "column n is combined; write row.n"},
        {"row.n = row.m + 1", "column n is combined; write row.n"},
        {"local v = e.b and 1 row.n = v", "column n is combined; write row.n"},
        {"row.l = nil", "column l is combined, and nil gives nothing to it"},
        {"row.low = row.low", "column low is combined, what "},
        {"row.low = row.high", "column high is combined, what "},
        {"row.low = math.max(row.low, e.n)", "column low is combined, what "},
        {"row.low = math.min(row.low)", "column low is combined, what "},
        {"row.low = row.low + e.n", "column low is combined, what "},
        {"if e.n < row.low then row.low = e.n + 1 end", "column low is combined, what "},
        {"if e.n > row.low then row.low = e.n end", "column low is combined, what "},
        {"if e.n < row.low then row.low = e.n row.m = row.m + 1 end",
         "column low is combined, what "},
        {"if e.n < row.low then row.low = e.n else row.high = e.n end",
         "column low is combined, what "},
        {"if e.n < row.low then row.low = e.n elseif e.n > row.high then row.high = e.n end",
         "column low is combined, what "},
        {"if e.n < row.low then row.m = row.m + 1 end", "column low is combined, what "},
        {"repeat row.low = e.n until row.low < e.n", "column low is combined, what "},
        {"local j = e.j if j.x < row.low then j.x = 7 row.low = j.x end",
         "column low is combined, what "},
        {"local q = 0 for i = 1, 3 do local v = e.n + i if q < row.low then row.low = v end q = v end",
         "column low is combined, what "},
        {"if e.time > row.at then row.at = e.time end",
         "column at is combined, what it was is not known here; write row.at = ..."},
        {"row.at = math.max(row.at, e.time)", "column at is combined, what "},
        {"row.at = row.at or e.time", "column at is combined, what "},
        {"row.at = math.max(row.at or e.at, e.time)", "column at is combined, what "},
        {"if not row.at then row.at = e.time end", "column at is combined, what "},
        {"if not row.at or e.time > row.since then row.at = e.time end",
         "column at is combined, what "},
        {"if row.at or e.time > row.at then row.at = e.time end", "column at is combined, what "},
        {"row.f = row.f .. 'x'",
         "column f is combined, what it was is not known here; write row.f = row.f or ..."},
        {"row.f = row.f and e.t", "column f is combined, what "},
        {"if row.f then row.f = e.t end", "column f is combined, what "},
        {"if not row.f then row.f = e.t row.l = e.t end", "column f is combined, what "},
        {"local v = 0 if e.n < row.low then v = 5 row.low = e.n end row.n = row.n + v",
         "column low is combined, what "},
        {"local v if not row.f then v = e.t .. 'x' end row.l = v",
         "column f is combined, what "},
        {"local v = 1 if not row.f then row.f = e.t v = 2 end row.m = row.m + v",
         "column f is combined, what "},
        {"row.f = row.f or table.remove(e.j)",
         "column f is combined, what "},
        {"row.f = row.f or (function () return 'x' end)()",
         "column f is combined, what "},
        {"row.f = row.f or M.change(e.j)", "column f is combined, what "},
        {"row.f = row.f or M.apply(M.change, e.j)", "column f is combined, what "},
        {"row.f = row.f or M.fill(row, e)", "column f is combined, what "},
        {"row.g = row.g + e.n",
         "column g is combined, what it was is not known here; write row.g = ..."},
        {"if row.g == 0 then row.g = e.n end", "column g is combined, what "},
        {"row.l = row.l or e.t", "column l is combined, what was last is not known here"},
        {"row.any1 = row.any1 and e.b",
         "column any1 is combined, what it was is not known here; write row.any1 = row.any1 or ..."},
        {"row.any1 = not row.any1", "column any1 is combined, what "},
        {"row.any1 = row.all1",
         "column all1 is combined, what it was is not known here; write row.all1 = row.all1 and ..."},
        {"row.all1 = row.all1 or e.b", "column all1 is combined, what "},
        {"if row.exists then row.m = row.m + 1 end",
         "row.exists is not known where columns combine"},
        {"row:delete()", "rows of combined columns cannot be deleted"},
        {"local r = row r.delete(r)", "rows of combined columns cannot be deleted"},
        {"row.nn = 1", "the row has no column `nn`; did you mean `n`?"},
        {"row.key = 5", "the row has no column `key`"},
        {"local t = { row }", "the row is for reading and writing its columns by name"},
        {"local t = {} t.x = row", "the row is for reading"},
        {"row[e.t] = 1", "the row is for reading"},
        {"local x = row[1]", "the row is for reading"},
        {"row.n = row.n + #row", "the row is for reading"},
        {"local r = e.b and row or e r.n = 5", "the row is for reading"},
        {"for k, v in pairs(row) do end", "the row is given to functions of the file's own only"},
        {"e.j.x(row)", "the row is given to functions"},
        {"(e.b and add or M.add)(row, e, 1)", "the row is given to functions"},
        {"add(e, row, 1)", "p.lua:7: column n is combined"},
        {"local f = function () row.n = row.n + 1 end f()",
         "a function inside of a handler uses none of its variables"},
        {"wrong(row, e)", "p.lua:2: column n is combined; write row.n = row.n + ..."},
        {"return wrong(row, e)", "p.lua:2: column n is combined; write"},
    };
    return cr_make_param_array(struct refusal, refusals, sizeof refusals / sizeof refusals[0]);
}

ParameterizedTest(struct refusal *refusal, lua_proof, refuses_with_the_line_what_asks_for_what_was)
{
    char message[160];
    rf_err err = {0};

    bool placed = strncmp(refusal->message, "p.lua:", 6) == 0;
    (void)snprintf(message, sizeof message, "%s%s", placed ? "" : "p.lua:8: ", refusal->message);
    if (strncmp(refusal->message, "the row is ", 11) == 0 || refusal->message[0] == 'a')
        (void)snprintf(message, sizeof message, "p.lua:8: where columns combine, %s",
                       refusal->message);
    cr_expect_eq(load(refusal->body, &err), RF_ERR_PLUGIN, "%s", refusal->body);
    cr_expect(strstr(err.message, message), "%s\n    gave %s\n    not %s", refusal->body,
              err.message, message);
}

Test(lua_proof, tells_the_line_of_a_body_of_several)
{
    rf_err err = {0};

    cr_expect_eq(load("local x = e.n\nif e.b then\n  row.n = x\nend", &err), RF_ERR_PLUGIN);
    cr_expect(strstr(err.message, "p.lua:10: column n is combined; write"), "%s", err.message);
}
