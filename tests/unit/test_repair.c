/* refold/repair.h: whatever is spoilt in a generation is what a rebuild gives again, for logs made at random and every
 * way that keys and columns come about. */
#include "catch_up/catch_up_chosen.h"
#include "catch_up/catch_up_job.h"
#include "log/record.h"
#include "of_streams.h"

#include <fcntl.h>
#include <unistd.h>

TestSuite(repair, .init = make_store, .fini = remove_store);

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
static void check_repair_of(const char *name, const char *file, rf_slice bogus, uint32_t workers)
{
    char right[33], spoilt[33], repaired[33];
    rf_rebuilt built;
    seen_changes seen = {0}, again = {0};

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

static void check_repair(int index, rf_slice bogus, uint32_t workers)
{
    char file[160];

    write_projection(index, file);
    check_repair_of(projections[index].name, file, bogus, workers);
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

/* ---- rows of one stream's events ---- */

/* Spoils rows, and repairs those of one stream after the other, by its key or all keys that begin with it. */
static void check_streams_of(const char *name, const char *text, rf_slice bogus, bool prefixes,
                             unsigned from_seed)
{
    char file[160], right[33], now[33];
    rf_rebuilt built;
    int changed = 0;

    seed = from_seed;
    write_of_stream(name, text, file);
    import_some(250, on_error != RF_ON_ERROR_STOP);
    rebuild(file, 0, &built);
    import_some(150, on_error != RF_ON_ERROR_STOP);
    move_on(name, built.generation, log_position() - 50, 2);
    digest_of(name, right);
    spoil_rows(name, built.generation, bogus);
    for (unsigned i = 0; i < 42; i++) {
        char key[64];
        seen_changes seen = {0}, again = {0};
        (void)snprintf(key, sizeof key, text == every_row ? "[\"shop-%u\"]" : "shop-%u", i);
        (void)repair_rows(name, prefixes ? NULL : key, prefixes ? key : NULL, i % 3, &seen);
        (void)repair_rows(name, prefixes ? NULL : key, prefixes ? key : NULL, 0, &again);
        cr_assert_eq(again.count, 0, "%s", key);
        changed += seen.count;
    }
    cr_assert_gt(changed, 4, "%d rows of %s", changed, name);
    digest_of(name, now);
    cr_assert_str_neq(now, right); /* by the row of no event */
    seen_changes rest = {0};
    (void)repair_rows(name, NULL, "", 2, &rest);
    cr_assert_eq(rest.count, 1);
    digest_of(name, now);
    cr_assert_str_eq(now, right);
}

Test(repair, of_one_key_at_a_time_folds_what_its_stream_carried_and_combines_to)
{
    check_streams_of("carried", carried_of_stream, RF_SLICE("none"), false, 41);
    check_streams_of("combined", combined_of_stream, RF_SLICE("none"), false, 42);
    check_streams_of("both", both_of_stream, RF_SLICE("none"), true, 43);
    check_streams_of("every", every_of_stream, RF_SLICE("none"), false, 44);
}

Test(repair, of_one_stream_at_a_time_folds_its_rows_of_tuples)
{
    static const char bogus[] = "\1none\0\1s1";

    check_streams_of("stock", every_row, (rf_slice){bogus, sizeof bogus}, true, 45);
}

Test(repair, of_one_key_at_a_time_leaves_out_what_a_rebuild_left_out)
{
    on_error = RF_ON_ERROR_SKIP;
    check_streams_of("combined", combined_of_stream, RF_SLICE("none"), false, 46);
    on_error = RF_ON_ERROR_QUARANTINE;
    check_streams_of("carried", carried_of_stream, RF_SLICE("none"), false, 47);
}

/* Spoils the segments of other partitions than that of the stream. */
static void damage_other_partitions(const char *stream)
{
    uint32_t own = rf_partition_of(rf_slice_of(stream), rf_log_partitions(store->log));
    rf_kv_seek seek = RF_KV_FIRST;
    rf_kv_cursor *cursor;
    rf_kv_txn *txn;
    rf_slice key, value;
    bool found;
    int damaged = 0;

    cr_assert_eq(rf_kv_begin(rf_log_kv(store->log), true, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_cursor_open(txn, RF_LOG_SEGMENTS, &cursor, NULL), RF_OK);
    while (rf_kv_cursor_seek(cursor, seek, RF_SLICE(""), &key, &value, &found, NULL) == RF_OK && found) {
        rf_segment_span span;
        cr_assert_eq(rf_segment_key_parse(key, &span, NULL), RF_OK);
        seek = RF_KV_NEXT;
        if (span.partition == own)
            continue;
        rf_segment_key same = rf_segment_key_of(&span);
        char *copy = malloc(value.size);
        cr_assert_not_null(copy);
        memcpy(copy, value.data, value.size);
        copy[30] ^= 1;
        cr_assert_eq(rf_kv_put(txn, RF_LOG_SEGMENTS, rf_segment_key_slice(&same),
                               (rf_slice){copy, value.size}, NULL),
                     RF_OK);
        free(copy);
        damaged++;
    }
    rf_kv_cursor_close(cursor);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    cr_assert_gt(damaged, 0);
}

Test(repair, of_a_key_that_begins_with_a_stream_reads_no_other_streams)
{
    const rf_repair_options all = {.prefix = "", .run = {.workers = 0}};
    char file[160];
    rf_rebuilt built;
    seen_changes seen = {0};
    rf_repair_result result;
    rf_err err = {0};

    seed = 48;
    write_of_stream("both", both_of_stream, file);
    import_events(300);
    rebuild(file, 0, &built);
    spoil_rows("both", built.generation, RF_SLICE("shop-3"));
    damage_other_partitions("shop-3");
    (void)repair_rows("both", "shop-3", NULL, 0, &seen);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(rf_repair(store, "both", &all, &result, &err), RF_ERR_DAMAGED);
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
