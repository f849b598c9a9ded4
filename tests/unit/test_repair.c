/* refold/repair.h and rows as they were: whatever is spoilt in a generation is what a rebuild gives again, for logs made
 * at random and every way that keys and columns come about; and a row at any position is the one of a rebuild
 * up to there. */
#include "catch_up/catch_up_chosen.h"
#include "catch_up/catch_up_job.h"
#include "shop_logs.h"

#include <fcntl.h>
#include <unistd.h>

TestSuite(repair, .init = make_store, .fini = remove_store);

/* ---- as it was ---- */

static void append_row_at(rf_reader *reader, rf_slice key, uint64_t position, rf_text *text)
{
    rf_err err = {0};
    rf_row row;

    rf_status status = position ? rf_reader_get_as_of(reader, key, position, &row, &err)
                                : rf_reader_get(reader, key, &row, &err);
    rf_text_clear(text);
    if (status == RF_OK)
        rf_text_append_row_json(text, rf_reader_get_info(reader), &row);
    else
        cr_assert_eq(status, RF_ERR_NO_ROW, "%s", err.message);
}

/* Each stream's row at `position`, and in a generation that was built up to there. */
static int compare_all(rf_reader *reader, rf_reader *built, uint64_t position)
{
    rf_text *past = rf_text_new();
    rf_text *row = rf_text_new();
    int rows = 0;

    for (int i = 0; i < 42; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "shop-%d", i);
        append_row_at(reader, rf_slice_of(name), position, past);
        append_row_at(built, rf_slice_of(name), 0, row);
        rf_slice a = rf_text_bytes(past), b = rf_text_bytes(row);
        cr_assert(rf_slice_equal(a, b), "%s at %llu: %.*s, not %.*s", name,
                  (unsigned long long)position, (int)a.size, a.data, (int)b.size, b.data);
        rows += a.size > 0;
    }
    rf_text_free(past);
    rf_text_free(row);
    return rows;
}

static void check_past(void)
{
    char file[160];
    rf_rebuilt first, other;
    rf_reader *reader, *built;
    bool spoilt = on_error != RF_ON_ERROR_STOP;
    int rows = 0;

    write_projection(0, file);
    import_some(300, spoilt);
    rebuild(file, 0, &first);
    import_some(200, spoilt);
    move_on("shops", first.generation, 400, 2);
    cr_assert_eq(rf_reader_open(store, "shops", 0, &reader, NULL), RF_OK);
    for (int i = 0; i < 5; i++) {
        uint64_t position = i == 0 ? 400 : i == 1 ? 500 : 1 + roll(500);
        rebuild(file, position, &other);
        cr_assert_eq(rf_reader_open(store, "shops", other.generation, &built, NULL), RF_OK);
        rows += compare_all(reader, built, position);
        rf_reader_close(built);
    }
    cr_assert_gt(rows, 50);
    cr_assert_eq(compare_all(reader, reader, 400), (int)rf_reader_get_info(reader)->rows);
    rf_reader_close(reader);
}

Test(repair, a_row_as_it_was_is_that_of_a_rebuild_up_to_there)
{
    seed = 11;
    check_past();
}

Test(repair, a_row_as_it_was_leaves_out_events_that_fail)
{
    seed = 12;
    on_error = RF_ON_ERROR_SKIP;
    check_past();
}

Test(repair, a_row_as_it_was_is_none_from_where_its_key_is_in_quarantine)
{
    seed = 13;
    on_error = RF_ON_ERROR_QUARANTINE;
    check_past();
}

/* Projections whose keys are streams, or begin with one: what is carried or combined is of the stream too. */
static const char carried_of_stream[] =
    "name 'carried' version (1)\n"
    "carry { owner = { Opened = 'owner text', Moved = 'owner text' }, qty = { Added = 'qty int' } }\n"
    "columns { 'owner text', 'before int', 'n int', 'name text' }\n"
    "on ('Added', { 'price decimal(2)', 'carried.owner text' }, function (row, e)\n"
    "  row.n, row.owner, row.name = row.n + 1, e.carried.owner, e.stream end)\n"
    "on ('Else', { 'carried.qty int' }, function (row, e) row.before = e.carried.qty end)\n"
    "on ('Closed', function (row, e) row:delete() end)\n";
static const char combined_of_stream[] =
    "name 'combined' version (1)\n"
    "columns { 'total decimal(2)', 'least int', 'most int', 'n int', 'first_sku text', 'last_sku text',\n"
    "          'some bool', 'every bool', 'since time' }\n"
    "combine { total = 'sum', least = 'min', most = 'max', n = 'count', first_sku = 'first',\n"
    "          last_sku = 'last', some = 'any', every = 'all', since = 'min' }\n"
    "on ('Added', { 'sku text', 'qty int', 'price decimal(2)' }, function (row, e)\n"
    "  row.total, row.n = row.total + e.price * e.qty, row.n + 1\n"
    "  row.least, row.most = math.min (row.least, e.qty - 4), math.max (row.most, e.qty)\n"
    "  row.first_sku, row.last_sku, row.since = e.sku, e.sku, e.time\n"
    "  row.some, row.every = e.qty > 7, e.qty > 1 end)\n";
static const char both_of_stream[] =
    "name 'both' version (1)\n"
    "carry { owner = { Opened = 'owner text', Moved = 'owner text' } }\n"
    "columns { 'sold int', 'owner text' } combine { sold = 'sum', owner = 'max' }\n"
    "on ('Added', { 'qty int', 'price decimal(2)', 'carried.owner text' }, function (row, e)\n"
    "  row.sold, row.owner = row.sold + e.qty, e.carried.owner end)\n";
static const char every_of_stream[] =
    "name 'every' version (1) key 'stream' columns { 'n int', 'open bool' }\n"
    "on ('Added', {}, function (row, e) row.n = row.n + 1 end)\n"
    "on ('Moved', {}, every_row, function (row, e) row.open = not row.open end)\n"
    "on ('Closed', {}, every_row, function (row, e) row:delete() end)\n";

static void append_tuple_at(rf_reader *reader, const char *key, uint64_t position, rf_text *text)
{
    char bytes[RF_KEY_BYTES_MAX];
    rf_err err = {0};
    rf_slice parsed;

    cr_assert_eq(rf_reader_parse_key(reader, rf_slice_of(key), RF_KEY_WHOLE, bytes, &parsed, &err), RF_OK,
                 "%s: %s", key, err.message);
    append_row_at(reader, parsed, position, text);
}

/* As compare_all, of keys (stream, sku). */
static int compare_tuples(rf_reader *reader, rf_reader *built, uint64_t position)
{
    rf_text *past = rf_text_new();
    rf_text *row = rf_text_new();
    int rows = 0;

    for (int i = 0; i < 41 * 9; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "[\"shop-%d\",\"s%d\"]", i / 9, i % 9);
        append_tuple_at(reader, name, position, past);
        append_tuple_at(built, name, 0, row);
        rf_slice a = rf_text_bytes(past), b = rf_text_bytes(row);
        cr_assert(rf_slice_equal(a, b), "%s at %llu: %.*s, not %.*s", name,
                  (unsigned long long)position, (int)a.size, a.data, (int)b.size, b.data);
        rows += a.size > 0;
    }
    rf_text_free(past);
    rf_text_free(row);
    return rows;
}

static void check_past_of(const char *name, const char *text, unsigned from_seed)
{
    bool tuples = text == every_row;
    int (*compare)(rf_reader *, rf_reader *, uint64_t) = tuples ? compare_tuples : compare_all;
    char file_name[160];
    rf_rebuilt first, other;
    rf_reader *reader, *built;
    int rows = 0;

    seed = from_seed;
    (void)snprintf(file_name, sizeof file_name, "%s/%s.lua", dir, name);
    FILE *file = fopen(file_name, "w");
    cr_assert_not_null(file);
    (void)fputs(text, file);
    cr_assert_eq(fclose(file), 0);
    import_some(300, on_error != RF_ON_ERROR_STOP);
    rebuild(file_name, 0, &first);
    import_some(200, on_error != RF_ON_ERROR_STOP);
    uint64_t end = log_position();
    move_on(name, first.generation, end - 100, 2);
    cr_assert_eq(rf_reader_open(store, name, 0, &reader, NULL), RF_OK);
    for (int i = 0; i < 6; i++) {
        uint64_t position = i == 0 ? end - 100 : i == 1 ? end : 1 + roll((unsigned)end);
        rebuild(file_name, position, &other);
        cr_assert_eq(rf_reader_open(store, name, other.generation, &built, NULL), RF_OK);
        rows += compare(reader, built, position);
        rf_reader_close(built);
    }
    cr_assert_gt(rows, 50);
    cr_assert_eq(compare(reader, reader, end - 100), (int)rf_reader_get_info(reader)->rows);
    rf_reader_close(reader);
}

Test(repair, a_row_as_it_was_has_what_its_stream_carried)
{
    check_past_of("carried", carried_of_stream, 31);
}

Test(repair, a_row_as_it_was_has_what_its_streams_events_combine_to)
{
    check_past_of("combined", combined_of_stream, 32);
    check_past_of("both", both_of_stream, 33);
}

Test(repair, a_row_as_it_was_has_what_handlers_of_every_row_made_of_it)
{
    check_past_of("every", every_of_stream, 34);
    check_past_of("stock", every_row, 35);
}

Test(repair, a_row_as_it_was_leaves_out_events_that_fail_where_it_combines_and_carries)
{
    on_error = RF_ON_ERROR_SKIP;
    check_past_of("combined", combined_of_stream, 36);
    on_error = RF_ON_ERROR_QUARANTINE;
    check_past_of("carried", carried_of_stream, 37);
    check_past_of("both", both_of_stream, 38);
    check_past_of("combined", combined_of_stream, 39);
}

Test(repair, a_row_as_it_was_is_refused_where_it_needs_other_streams_or_positions)
{
    char file[160];
    rf_rebuilt built;
    rf_reader *reader;
    rf_err err = {0};
    rf_row row;

    seed = 14;
    import_events(50);
    write_projection(1, file);
    rebuild(file, 0, &built);
    cr_assert_eq(rf_reader_open(store, "owners", 0, &reader, NULL), RF_OK);
    cr_assert_eq(rf_reader_get_as_of(reader, RF_SLICE("o1"), 20, &row, &err), RF_ERR_USAGE);
    cr_assert(strstr(err.message, "owners") && strstr(err.message, "other streams"));
    rf_reader_close(reader);
    write_projection(0, file);
    rebuild(file, 0, &built);
    cr_assert_eq(rf_reader_open(store, "shops", 0, &reader, NULL), RF_OK);
    cr_assert_eq(rf_reader_get_as_of(reader, RF_SLICE("shop-1"), 51, &row, &err), RF_ERR_USAGE);
    cr_assert_eq(rf_reader_get_as_of(reader, RF_SLICE("shop-1"), 0, &row, &err), RF_ERR_NO_ROW);
    rf_reader_close(reader);
}

/* ---- what is spoilt ---- */

typedef struct spoiling {
    rf_catch_up *catch_up;
    rf_catch_up_item *item;
    char first_row[4096];
    size_t first_size;
} spoiling;

static void spoil(spoiling *run, rf_slice key, rf_slice row)
{
    rf_catch_up_slot *slot = &run->item->slots[0];
    rf_catch_up_change at = {.key = key, .rows = {[RF_CHANGE_NEW] = row}};
    rf_delta_entry entry = {.key = key};

    cr_assert_eq(rf_rows_look(slot->rows, key, &at.rows[RF_CHANGE_BASE], &entry, &at.in_delta, NULL),
                 RF_OK);
    at.rows[RF_CHANGE_CURRENT] = at.in_delta ? entry.row : at.rows[RF_CHANGE_BASE];
    if (rf_catch_up_same_row(row, at.rows[RF_CHANGE_CURRENT]))
        return;
    at.of_base = rf_catch_up_same_row(row, at.rows[RF_CHANGE_BASE]);
    cr_assert_eq(rf_catch_up_put_change(run->item, slot, &at, NULL), RF_OK);
}

/* Some rows go, some become that of another key. */
static void spoil_some(spoiling *run)
{
    rf_rows_cursor *cursor;
    rf_slice key, row;
    bool found = true;

    cr_assert_eq(rf_rows_cursor_open(run->item->slots[0].rows, RF_DELTA_ROWS,
                                     &(rf_delta_range){.limit = 0}, &cursor, NULL),
                 RF_OK);
    while (rf_rows_cursor_next(cursor, &key, &row, &found, NULL) == RF_OK && found) {
        if (run->first_size == 0 && row.size < sizeof run->first_row) {
            memcpy(run->first_row, row.data, row.size);
            run->first_size = row.size;
        }
        unsigned what = roll(4);
        if (what < 2)
            spoil(run, key, what == 0 ? (rf_slice){NULL, 0}
                                      : (rf_slice){run->first_row, run->first_size});
    }
    rf_rows_cursor_close(cursor);
}

/* Rows of the live generation that no events give, and a checkpoint that promises them. */
static void spoil_rows(const char *name, uint64_t number, rf_slice bogus)
{
    const rf_catch_up_of of = {.name = name, .number = number};
    spoiling run = {0};
    rf_pool *pool;
    rf_err err = {0};
    rf_left_out_list on_record = {0};

    cr_assert_eq(rf_pool_new(0, &pool, NULL), RF_OK);
    cr_assert_eq(rf_catch_up_open(store, pool, &of, 1, &run.catch_up, &err), RF_OK);
    run.item = &run.catch_up->items[0];
    run.item->goes_on = true;
    uint64_t position = rf_catch_up_position(run.catch_up);
    cr_assert_eq(rf_catch_up_item_begin(run.catch_up, run.item, position, &on_record, &err), RF_OK);
    spoil_some(&run);
    spoil(&run, bogus, (rf_slice){run.first_row, run.first_size});
    cr_assert_eq(rf_catch_up_sort_changes(run.catch_up, &err), RF_OK);
    rf_catch_up_make_move(run.item, position, RF_TIME_NONE, &run.catch_up->moves[0]);
    cr_assert_eq(rf_catalog_move_on(store->catalog, run.catch_up->moves, 1, &err), RF_OK, "%s",
                 err.message);
    rf_left_out_list_free(&on_record);
    rf_catch_up_close(run.catch_up);
    rf_pool_free(pool);
}

static void digest_of(const char *name, char digest_out[33])
{
    rf_reader *reader;
    rf_err err = {0};

    cr_assert_eq(rf_reader_open(store, name, 0, &reader, &err), RF_OK, "%s", err.message);
    memcpy(digest_out, rf_reader_get_info(reader)->digest, 33);
    rf_reader_close(reader);
}

typedef struct seen_changes {
    int count;
    char last[600];
} seen_changes;

static rf_status see(void *arg, const rf_repaired *repaired, rf_err *err)
{
    seen_changes *seen = arg;
    size_t size = repaired->after.key.size;

    (void)err;
    cr_assert_eq(repaired->before.values == NULL,
                 repaired->op == RF_DIFF_ADD || repaired->was_damaged);
    cr_assert_eq(repaired->after.values == NULL, repaired->op == RF_DIFF_REMOVE);
    cr_assert(seen->count == 0 || strncmp(seen->last, repaired->after.key.data, size) < 0 ||
              size > 0);
    memcpy(seen->last, repaired->after.key.data, size);
    seen->last[size] = '\0';
    seen->count++;
    return RF_OK;
}

static rf_repair_result repair_rows(const char *name, const char *key, const char *prefix,
                                    uint32_t workers, seen_changes *seen)
{
    const rf_repair_options options = {.keys = &key,
                                       .key_count = key != NULL,
                                       .prefix = prefix,
                                       .visit = see,
                                       .visit_arg = seen,
                                       .run = {.workers = workers}};
    rf_repair_result result;
    rf_err err = {0};

    cr_assert_eq(rf_repair(store, name, &options, &result, &err), RF_OK, "%s", err.message);
    uint64_t changes = result.counts[0] + result.counts[1] + result.counts[2];
    cr_assert_eq(changes, (uint64_t)seen->count);
    return result;
}

/* What is spoilt in base and delta is right again, and not more than that is told. */
static void check_repair(int index, rf_slice bogus, uint32_t workers)
{
    const char *name = projections[index].name;
    char file[160], right[33], spoilt[33], repaired[33];
    rf_rebuilt built;
    seen_changes seen = {0}, again = {0};

    write_projection(index, file);
    import_events(200);
    rebuild(file, 0, &built);
    import_events(100);
    move_on(name, built.generation, 250, workers);
    digest_of(name, right);
    for (int i = 0; i < 4; i++) {
        spoil_rows(name, built.generation, bogus);
        digest_of(name, spoilt);
        cr_assert_str_neq(spoilt, right);
        seen = (seen_changes){0};
        rf_repair_result result = repair_rows(name, NULL, "", workers, &seen);
        cr_assert_eq(result.position, 250);
        cr_assert_gt(result.counts[RF_DIFF_REMOVE], 0, "%d", i);
        cr_assert_gt(result.counts[RF_DIFF_ADD] + result.counts[RF_DIFF_CHANGE], 0);
        digest_of(name, repaired);
        cr_assert_str_eq(repaired, right, "try %d", i);
        again = (seen_changes){0};
        (void)repair_rows(name, NULL, "", workers, &again);
        cr_assert_eq(again.count, 0);
    }
    verify();
    move_on(name, built.generation, 300, workers);
    verify();
}

Test(repair, of_rows_of_streams_makes_what_was_spoilt_right)
{
    seed = 21;
    check_repair(0, RF_SLICE("shop-none"), 2);
}

Test(repair, of_rows_of_another_key_makes_what_was_spoilt_right)
{
    seed = 22;
    check_repair(1, RF_SLICE("o-none"), 0);
}

Test(repair, of_rows_of_a_carried_key_makes_what_was_spoilt_right)
{
    seed = 23;
    check_repair(2, RF_SLICE("o-none"), 2);
}

Test(repair, of_combined_columns_makes_what_was_spoilt_right)
{
    seed = 24;
    check_repair(3, RF_SLICE("s-none"), 3);
}

Test(repair, of_rows_of_tuples_makes_what_was_spoilt_right)
{
    static const char bogus[] = "\1shop-none\0\1s1";

    seed = 25;
    check_repair(4, (rf_slice){bogus, sizeof bogus}, 2);
}

Test(repair, of_a_prefix_leaves_other_rows_as_they_are)
{
    char file[160];
    rf_rebuilt built;
    seen_changes seen = {0}, rest = {0}, one = {0};

    seed = 26;
    write_projection(0, file);
    import_events(300);
    rebuild(file, 0, &built);
    spoil_rows("shops", built.generation, RF_SLICE("shop-9-none"));
    (void)repair_rows("shops", NULL, "shop-1", 0, &seen);
    cr_assert_gt(seen.count, 0);
    (void)repair_rows("shops", "shop-9-none", NULL, 0, &one);
    cr_assert_eq(one.count, 1);
    (void)repair_rows("shops", NULL, "", 0, &rest);
    cr_assert_gt(rest.count, 0);
    verify();
}

Test(repair, refuses_what_was_folded_from_the_rows_before_it)
{
    char file[160];
    rf_rebuilt built;
    rf_catch_up *catch_up;
    rf_pool *pool;
    seen_changes seen = {0};
    rf_err err = {0};

    seed = 27;
    write_projection(0, file);
    import_events(300);
    rebuild(file, 0, &built);
    import_events(10);
    spoil_rows("shops", built.generation, RF_SLICE("shop-none"));
    const rf_catch_up_of of = {.name = "shops", .number = built.generation};
    cr_assert_eq(rf_pool_new(0, &pool, NULL), RF_OK);
    cr_assert_eq(rf_catch_up_open(store, pool, &of, 1, &catch_up, &err), RF_OK);
    cr_assert_eq(rf_catch_up_fold(catch_up, 310, NULL, &err), RF_OK);
    (void)repair_rows("shops", NULL, "", 0, &seen);
    uint32_t count;
    cr_assert_eq(rf_catalog_move_on(store->catalog, rf_catch_up_moves(catch_up, &count), 1, &err),
                 RF_ERR_LOCKED);
    rf_catch_up_close(catch_up);
    rf_pool_free(pool);
    move_on("shops", built.generation, 310, 0);
    verify();
}

/* ---- what is damaged ---- */

/* Flips a bit of the row of `key` where its block stands in a base file of the generation. */
static void damage_base(uint64_t number, const char *key)
{
    char base[RF_PATH_SIZE], dir_path[RF_PATH_SIZE];
    static char bytes[1 << 20];

    cr_assert_eq(rf_catalog_path(store->catalog, "shops", number, dir_path, NULL), RF_OK);
    cr_assert_eq(rf_path_format(base, "%s/base-00.mdb", NULL, dir_path), RF_OK);
    int file = open(base, O_RDWR);
    cr_assert_geq(file, 0);
    ssize_t size = read(file, bytes, sizeof bytes);
    char *at = NULL; /* the last: before the block its first key stands once more */
    for (char *next = bytes; next; next = memmem(next + 1, (size_t)(bytes + size - next - 1), key,
                                                 strlen(key)))
        at = next;
    cr_assert_neq(at, bytes);
    at[strlen(key) - 1] ^= 1;
    cr_assert_eq(pwrite(file, bytes, (size_t)size, 0), size);
    (void)close(file);
}

/* A row's key that is in no other one. */
static void find_key(char key_out[16])
{
    rf_reader *reader;
    rf_cursor *cursor;
    rf_row row = {0};

    cr_assert_eq(rf_reader_open(store, "shops", 0, &reader, NULL), RF_OK);
    cr_assert_eq(rf_cursor_open(reader, NULL, &cursor, NULL), RF_OK);
    while (row.key.size != strlen("shop-17"))
        cr_assert_eq(rf_cursor_next(cursor, &row, NULL), RF_OK);
    (void)snprintf(key_out, 16, "%.*s", (int)row.key.size, row.key.data);
    rf_cursor_close(cursor);
    rf_reader_close(reader);
}

static int damages;

static void count_damage(void *arg, const char *line)
{
    (void)arg;
    (void)line;
    damages++;
}

Test(repair, of_a_row_whose_block_is_damaged_serves_it_again)
{
    const rf_verify_options options = {.serial = true, .report = count_damage};
    char file[160];
    rf_verify_result result;
    rf_rebuilt built;
    rf_reader *reader;
    rf_err err = {0};
    rf_row row;
    rf_text *text = rf_text_new(), *before = rf_text_new();
    seen_changes seen = {0};
    char key[16];

    seed = 28;
    write_projection(0, file);
    import_events(400);
    rebuild(file, 0, &built);
    find_key(key);
    cr_assert_eq(rf_reader_open(store, "shops", 0, &reader, NULL), RF_OK);
    append_row_at(reader, rf_slice_of(key), 0, before);
    cr_assert_gt(rf_text_bytes(before).size, 0);
    rf_reader_close(reader);
    damage_base(built.generation, key);
    cr_assert_eq(rf_reader_open(store, "shops", 0, &reader, NULL), RF_OK);
    cr_assert_eq(rf_reader_get(reader, rf_slice_of(key), &row, &err), RF_ERR_DAMAGED);
    rf_repair_result repaired = repair_rows("shops", key, NULL, 0, &seen);
    cr_assert_eq(repaired.damaged, 1);
    append_row_at(reader, rf_slice_of(key), 0, text);
    cr_assert(rf_slice_equal(rf_text_bytes(text), rf_text_bytes(before)));
    cr_assert_str_eq(rf_reader_get_info(reader)->digest, built.digest);
    rf_reader_close(reader);
    /* All others of the block too; rows that events do not give cannot be looked for. */
    seen = (seen_changes){0};
    repaired = repair_rows("shops", NULL, "shop", 2, &seen);
    cr_assert(repaired.is_unsearched);
    cr_assert_gt(repaired.damaged, 0);
    /* The block itself is what it is, until a new base is made. */
    cr_assert_eq(rf_verify(store, &options, &result, &err), RF_ERR_DAMAGED);
    cr_assert_eq(damages, 1);
    rebuild(file, 0, &built);
    cr_assert_eq(rf_gc(store, "shops", 1, 0, &(rf_gc_result){0}, &err), RF_OK);
    verify();
    rf_text_free(text);
    rf_text_free(before);
}

Test(repair, that_only_looks_changes_nothing)
{
    const char *key = "shop-none";
    const rf_repair_options options = {.keys = &key, .key_count = 1, .dry_run = true};
    char file[160], spoilt[33], after[33];
    rf_repair_result result;
    rf_rebuilt built;
    seen_changes seen = {0};

    seed = 29;
    write_projection(0, file);
    import_events(100);
    rebuild(file, 0, &built);
    spoil_rows("shops", built.generation, RF_SLICE("shop-none"));
    digest_of("shops", spoilt);
    cr_assert_eq(rf_repair(store, "shops", &options, &result, NULL), RF_OK);
    cr_assert_eq(result.counts[RF_DIFF_REMOVE], 1);
    digest_of("shops", after);
    cr_assert_str_eq(after, spoilt);
    (void)repair_rows("shops", NULL, "", 0, &seen);
    verify();
}
