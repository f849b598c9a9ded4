/* postgres_line.h, postgres_cursor.h: rows of a binary COPY become lines, and rows that are not whole become errors. */
#include "source/postgres_cursor.h"

#include <criterion/criterion.h>

static const rf_postgres_layout messages = {
    .columns = {{RF_ROLE_POSITION, RF_KIND_INTEGER, "position", NULL},
                {RF_ROLE_PREFIX, RF_KIND_TEXT, "", "default"},
                {RF_ROLE_STREAM, RF_KIND_TEXT, "stream", NULL},
                {RF_ROLE_SCHEMA, RF_KIND_TEXT, "schema", NULL},
                {RF_ROLE_MEMBER, RF_KIND_TIME, "time", NULL},
                {RF_ROLE_DATA, RF_KIND_JSONB, "data", NULL},
                {RF_ROLE_METADATA, RF_KIND_JSON, "metadata", NULL},
                {RF_ROLE_FACT, RF_KIND_BOOL, "skipped", NULL}},
    .column_count = 8,
};

static rf_buf row;

static void begin(uint16_t count)
{
    rf_buf_clear(&row);
    rf_buf_append_u16(&row, __builtin_bswap16(count));
}

static void value(const void *data, uint32_t size)
{
    rf_buf_append_u32(&row, __builtin_bswap32(size));
    rf_buf_append(&row, data, size);
}

static void null(void)
{
    rf_buf_append_u32(&row, UINT32_MAX);
}

static void integer(int64_t number)
{
    uint64_t stored = __builtin_bswap64((uint64_t)number);

    value(&stored, 8);
}

static void text(const char *bytes)
{
    value(bytes, (uint32_t)strlen(bytes));
}

static rf_status append(rf_buf *out, rf_slice bytes, bool *is_row_out, rf_err *err)
{
    rf_postgres_place place;
    bool begun = true;

    return rf_postgres_line_append(&messages, NULL, bytes, &begun, out, &place, is_row_out, err);
}

static void gives(const char *line)
{
    rf_buf out;
    rf_err err = {.message = ""};
    bool is_row = false;

    rf_buf_init(&out, 1 << 20);
    cr_assert_eq(append(&out, rf_buf_slice(&row), &is_row, &err), RF_OK, "%s", err.message);
    cr_assert(is_row);
    rf_buf_append_byte(&out, '\0');
    cr_assert_str_eq(out.data, line);
    rf_buf_free(&out);
}

static void fails(rf_slice bytes, const char *words)
{
    rf_buf out;
    rf_err err = {.message = ""};
    bool is_row = false;

    rf_buf_init(&out, 1 << 20);
    rf_buf_append_byte(&out, 'x');
    cr_assert_eq(append(&out, bytes, &is_row, &err), RF_ERR_INPUT);
    cr_assert_not_null(strstr(err.message, words), "%s", err.message);
    cr_assert_eq(out.size, 1, "what failed left something behind");
    rf_buf_free(&out);
}

static void whole(void)
{
    begin(8);
    integer(7);
    text("north");
    text("order-1");
    text("3");
    integer(773841600250000); /* 2024-07-09T12:00:00.25Z since 2000 */
    text("\1{\"a\": 1}");
    text("{\"by\": 1} ");
    value("\1", 1);
}

static void init(void)
{
    rf_buf_init(&row, 1 << 20);
}

static void finish(void)
{
    rf_buf_free(&row);
}

TestSuite(postgres_line, .init = init, .fini = finish);

Test(postgres_line, puts_facts_behind_the_members_of_metadata)
{
    whole();
    gives("{\"position\":7,\"stream\":\"north/order-1\",\"schema\":3,"
          "\"time\":\"2024-07-09T12:00:00.250000Z\",\"data\":{\"a\": 1},"
          "\"metadata\":{\"by\": 1,\"skipped\":true}}\n");
}

Test(postgres_line, leaves_out_what_says_nothing)
{
    begin(8);
    integer(7);
    text("default");
    text("a \"quoted\"\n\\ name");
    null();
    null();
    null();
    null();
    value("\0", 1);
    gives("{\"position\":7,\"stream\":\"a \\\"quoted\\\"\\n\\\\ name\",\"data\":null}\n");
}

Test(postgres_line, keeps_a_revision_that_is_no_number)
{
    begin(8);
    integer(7);
    null();
    text("s");
    text("1.0");
    null();
    text("\1{}");
    text("{}");
    null();
    gives("{\"position\":7,\"stream\":\"s\",\"data\":{},\"metadata\":{\"revision\":\"1.0\"}}\n");
}

Test(postgres_line, calls_a_time_beyond_all_years_infinity)
{
    begin(8);
    integer(7);
    null();
    text("s");
    null();
    integer(INT64_MAX);
    text("\1{}");
    null();
    null();
    gives("{\"position\":7,\"stream\":\"s\",\"time\":\"infinity\",\"data\":{}}\n");
}

Test(postgres_line, refuses_a_row_that_is_cut_off_anywhere)
{
    whole();
    for (size_t size = 0; size < row.size; size++)
        fails((rf_slice){row.data, size}, "not whole");
    rf_buf_append_byte(&row, 0);
    fails(rf_buf_slice(&row), "not whole");
}

Test(postgres_line, refuses_values_of_a_wrong_size_and_rows_without_position)
{
    begin(8);
    text("1234567");
    for (int i = 0; i < 7; i++)
        null();
    fails(rf_buf_slice(&row), "wrong size");
    begin(8);
    for (int i = 0; i < 8; i++)
        null();
    fails(rf_buf_slice(&row), "no position");
}

Test(postgres_line, refuses_metadata_that_could_add_members)
{
    static const char *const texts[] = {"{},\"stream\":\"other\"", "}", "<x/>", "", "{\"a\":1}}{"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        begin(8);
        integer(9);
        null();
        text("s");
        null();
        null();
        text("\1{}");
        text(texts[i]);
        null();
        fails(rf_buf_slice(&row), "position 9");
    }
}

Test(postgres_line, knows_the_beginning_and_the_end_of_a_copy)
{
    static const char header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0";
    rf_postgres_place place = {.begin = 0};
    bool begun = false, is_row = false;
    rf_buf out, piece;

    rf_buf_init(&out, 1 << 20);
    rf_buf_init(&piece, 1 << 20);
    whole();
    cr_assert_eq(rf_postgres_line_append(&messages, NULL, rf_buf_slice(&row), &begun, &out, &place,
                                         &is_row, NULL), RF_ERR_INPUT);
    rf_buf_append(&piece, header, sizeof header);
    rf_buf_append(&piece, row.data, row.size);
    cr_assert_eq(rf_postgres_line_append(&messages, NULL, rf_buf_slice(&piece), &begun, &out, &place,
                                         &is_row, NULL), RF_OK);
    cr_assert(begun && is_row);
    cr_assert_eq(place.mark.position, 7);
    size_t size = out.size;
    cr_assert_eq(rf_postgres_line_append(&messages, NULL, RF_SLICE("\377\377"), &begun, &out, &place,
                                         &is_row, NULL), RF_OK);
    cr_assert(!is_row);
    cr_assert_eq(out.size, size);
    rf_buf_free(&piece);
    rf_buf_free(&out);
}

/* Of the row of whole(), with another stream and other data. */
static rf_postgres_last last_of(const char *stream, const char *data)
{
    rf_postgres_layout layout = messages;
    rf_postgres_place place;
    bool begun = true, is_row;
    rf_buf out;

    layout.fixed_count = 5;
    begin(8);
    integer(7);
    null();
    text(stream);
    text("3");
    integer(773841600250000);
    text(data);
    null();
    null();
    rf_buf_init(&out, 1 << 20);
    rf_buf_append(&out, "{}\n", 3);
    cr_assert_eq(rf_postgres_line_append(&layout, NULL, rf_buf_slice(&row), &begun, &out, &place, &is_row, NULL),
                 RF_OK);
    rf_postgres_last last = rf_postgres_last_of(rf_buf_slice(&out), &place);
    rf_buf_free(&out);
    return last;
}

Test(postgres_line, tells_rows_apart_by_what_never_changes_of_them)
{
    rf_postgres_last one = last_of("order-1", "\1{\"a\": 1}");

    cr_assert_eq(one.mark.position, 7);
    cr_assert_eq(last_of("order-1", "\1{\"a\": \"masked\"}").fingerprint, one.fingerprint);
    cr_assert_neq(last_of("order-2", "\1{\"a\": 1}").fingerprint, one.fingerprint);
}

static rf_status read_cursor(bool has_transaction, const char *text, rf_postgres_last *last_out)
{
    char identity[] = "marten shop mt_events", transaction[] = "e.transaction_id";
    rf_postgres_layout layout = {.identity = identity, .transaction = has_transaction ? transaction : NULL};
    bool transactions;

    return rf_postgres_cursor_read(&layout, rf_slice_of(text), last_out, &transactions, NULL);
}

Test(postgres_line, reads_the_cursors_that_it_wrote)
{
    char identity[] = "marten shop mt_events", transaction[] = "e.transaction_id";
    rf_postgres_layout layout = {.identity = identity};
    rf_postgres_last last = {.mark = {.transaction = 12, .position = 7}, .fingerprint = 0xabc}, back;
    char out[RF_LINE_CURSOR_SIZE + 1];

    cr_assert_eq(rf_postgres_cursor_write(&layout, &RF_POSTGRES_LAST_NONE, out).size, 0);
    for (int round = 0; round < 2; round++) {
        rf_slice text = rf_postgres_cursor_write(&layout, &last, out);
        out[text.size] = '\0';
        cr_assert_str_eq(out, round ? "marten shop mt_events 00000000000000000012:00000000000000000007 0000000000000abc"
                                    : "marten shop mt_events 7 0000000000000abc");
        cr_assert_eq(read_cursor(round == 1, out, &back), RF_OK);
        cr_assert_eq(back.mark.position, 7);
        cr_assert_eq(back.mark.transaction, round ? 12 : 0);
        cr_assert_eq(back.fingerprint, 0xabc);
        layout.transaction = transaction;
    }
}

Test(postgres_line, refuses_the_cursors_of_others)
{
    static const char *const others[] = {
        "marten shop mt_events", "marten shop mt_events ", "marten shop mt_events 7",
        "marten shop mt_events x abc", "marten shop mt_events 7 abc more", "marten shop mt_events -7 abc",
        "marten shop other 7 abc", "marten shop mt_events 1:2 abc", "sqlite marten 7 abc",
    };
    rf_postgres_last last;

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        cr_assert_eq(read_cursor(false, others[i], &last), RF_ERR_USAGE, "%s", others[i]);
        cr_assert_eq(last.mark.position, -1);
    }
    cr_assert_eq(read_cursor(true, "marten shop mt_events :2 abc", &last), RF_ERR_USAGE);
}
