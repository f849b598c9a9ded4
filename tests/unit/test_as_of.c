/* Rows as they were: a row at any position is the one of a rebuild up to there, for logs made at random and every way
 * that keys and columns of one stream come about. */
#include "of_streams.h"

TestSuite(as_of, .init = make_store, .fini = remove_store);

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

Test(as_of, a_row_is_that_of_a_rebuild_up_to_there)
{
    seed = 11;
    check_past();
}

Test(as_of, a_row_leaves_out_events_that_fail)
{
    seed = 12;
    on_error = RF_ON_ERROR_SKIP;
    check_past();
}

Test(as_of, a_row_is_none_from_where_its_key_is_in_quarantine)
{
    seed = 13;
    on_error = RF_ON_ERROR_QUARANTINE;
    check_past();
}

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
    write_of_stream(name, text, file_name);
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

Test(as_of, a_row_has_what_its_stream_carried)
{
    check_past_of("carried", carried_of_stream, 31);
}

Test(as_of, a_row_has_what_its_streams_events_combine_to)
{
    check_past_of("combined", combined_of_stream, 32);
    check_past_of("both", both_of_stream, 33);
}

Test(as_of, a_row_has_what_handlers_of_every_row_made_of_it)
{
    check_past_of("every", every_of_stream, 34);
    check_past_of("stock", every_row, 35);
}

Test(as_of, a_row_leaves_out_events_that_fail_where_it_combines_and_carries)
{
    on_error = RF_ON_ERROR_SKIP;
    check_past_of("combined", combined_of_stream, 36);
    on_error = RF_ON_ERROR_QUARANTINE;
    check_past_of("carried", carried_of_stream, 37);
    check_past_of("both", both_of_stream, 38);
    check_past_of("combined", combined_of_stream, 39);
}

Test(as_of, a_row_is_refused_where_it_needs_other_streams_or_positions)
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
