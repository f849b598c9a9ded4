/* bytes.h: slices, UTF-8, buffers with a maximum, readers that cannot run over. */
#include "base/bytes.h"

#include <criterion/criterion.h>

Test(bytes, orders_slices_by_bytes_and_the_shorter_first)
{
    cr_assert_lt(rf_slice_compare(RF_SLICE("a"), RF_SLICE("b")), 0);
    cr_assert_lt(rf_slice_compare(RF_SLICE("a"), RF_SLICE("aa")), 0);
    cr_assert_lt(rf_slice_compare(RF_SLICE("z"), RF_SLICE("\xc3\xa4")), 0);
    cr_assert_eq(rf_slice_compare(RF_SLICE("same"), RF_SLICE("same")), 0);
    cr_assert_lt(rf_slice_compare((rf_slice){"", 0}, RF_SLICE("a")), 0);
}

Test(bytes, tells_valid_from_invalid_utf8)
{
    const char *valid[] = {"", "ascii", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"};
    const char *invalid[] = {"\x80",         "\xc3",         "\xc0\x80",         "\xc1\xbf",
                             "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80",
                             "\xff",         "a\xe2\x82",    "\xe2\x28\xa1"};

    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++)
        cr_assert(rf_utf8_valid(rf_slice_of(valid[i])), "valid %zu", i);
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++)
        cr_assert_not(rf_utf8_valid(rf_slice_of(invalid[i])), "invalid %zu", i);
}

Test(bytes, a_buffer_stops_at_its_maximum_and_stays_failed)
{
    rf_buf buf;
    rf_err err;

    rf_buf_init(&buf, 100);
    for (int i = 0; i < 10; i++)
        rf_buf_append(&buf, "0123456789", 10);
    cr_assert_eq(rf_buf_check(&buf, "test", &err), RF_OK);
    cr_assert_eq(buf.size, 100);
    rf_buf_append_byte(&buf, 1);
    cr_assert_eq(rf_buf_check(&buf, "test", &err), RF_ERR_MEMORY);
    cr_assert_eq(buf.size, 100);
    rf_buf_clear(&buf);
    rf_buf_append_byte(&buf, 1);
    cr_assert_eq(rf_buf_check(&buf, "test", &err), RF_OK);
    rf_buf_free(&buf);
}

Test(bytes, reads_back_what_was_written)
{
    rf_buf buf;
    const uint64_t varints[] = {0, 1, 127, 128, 300, UINT32_MAX, UINT64_MAX};

    rf_buf_init(&buf, 1000);
    rf_buf_append_byte(&buf, 7);
    rf_buf_append_u16(&buf, 0x1234);
    rf_buf_append_u32(&buf, 0x12345678);
    rf_buf_append_u64(&buf, 0x123456789abcdef0);
    for (size_t i = 0; i < sizeof varints / sizeof varints[0]; i++)
        rf_buf_append_varint(&buf, varints[i]);
    rf_buf_append_format(&buf, "%d rows", 12);

    rf_bytes_reader reader = rf_bytes_reader_of(rf_buf_slice(&buf));
    cr_assert_eq(rf_read_byte(&reader), 7);
    cr_assert_eq(rf_read_u16(&reader), 0x1234);
    cr_assert_eq(rf_read_u32(&reader), 0x12345678);
    cr_assert_eq(rf_read_u64(&reader), 0x123456789abcdef0);
    for (size_t i = 0; i < sizeof varints / sizeof varints[0]; i++)
        cr_assert_eq(rf_read_varint(&reader), varints[i]);
    cr_assert(rf_slice_equal(rf_read_slice(&reader, 7), RF_SLICE("12 rows")));
    cr_assert_not(reader.failed);
    cr_assert_eq(rf_read_u32(&reader), 0);
    cr_assert(reader.failed);
    rf_buf_free(&buf);
}

Test(bytes, refuses_a_varint_of_more_than_64_bits)
{
    const char over[] = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
    rf_bytes_reader reader = rf_bytes_reader_of(RF_SLICE(over));

    (void)rf_read_varint(&reader);
    cr_assert(reader.failed);
}

Test(bytes, zigzag_keeps_every_integer)
{
    const int64_t values[] = {0, 1, -1, 63, -64, INT64_MAX, INT64_MIN};

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        cr_assert_eq(rf_unzigzag(rf_zigzag(values[i])), values[i]);
    cr_assert_eq(rf_zigzag(-1), 1);
}

Test(bytes, an_error_is_one_line_and_escapes_what_could_break_it)
{
    rf_err err;

    cr_assert_eq(rf_fail(&err, RF_ERR_INPUT, "a\nb\x1b[31m%s", "\xff" "\xc3\xa4"), RF_ERR_INPUT);
    cr_assert_str_eq(err.message, "a\\x0ab\\x1b[31m\\xff\xc3\xa4");
    cr_assert_eq(rf_err_context(&err, "line %d", 3), RF_ERR_INPUT);
    cr_assert_str_eq(err.message, "line 3: a\\x0ab\\x1b[31m\\xff\xc3\xa4");
}

Test(bytes, an_error_whose_end_is_escaped_stays_within_its_message)
{
    for (size_t before = RF_ERR_MESSAGE_SIZE - 12; before < RF_ERR_MESSAGE_SIZE; before++) {
        struct {
            rf_err err;
            char behind[8];
        } here = {.behind = "behind"};
        char text[RF_ERR_MESSAGE_SIZE + 16];
        memset(text, 'a', sizeof text);
        text[before] = '\1';
        text[sizeof text - 1] = '\0';
        cr_expect_eq(rf_fail(&here.err, RF_ERR_INPUT, "%s", text), RF_ERR_INPUT);
        cr_expect_lt(strlen(here.err.message), sizeof here.err.message);
        cr_expect_str_eq(here.err.message + strlen(here.err.message) - 3, "...");
        cr_expect_str_eq(here.behind, "behind");
    }
}

Test(bytes, an_error_that_is_too_long_is_cut_at_a_character)
{
    char text[3000];
    rf_err err;

    for (size_t i = 0; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    text[sizeof text - 2] = '\0';
    (void)rf_fail(&err, RF_ERR_INPUT, "x%s", text);
    size_t size = strlen(err.message);
    cr_assert_lt(size, sizeof err.message);
    cr_assert(rf_utf8_valid((rf_slice){err.message, size}));
    cr_assert_str_eq(err.message + size - 3, "...");
}

Test(bytes, every_status_has_the_exit_code_that_the_command_line_promises)
{
    const struct {
        rf_status status;
        int code;
    } cases[] = {
        {RF_OK, 0},           {RF_ERR_IO, 1},           {RF_ERR_MEMORY, 1},
        {RF_ERR_INPUT, 1},    {RF_ERR_ABSENT, 1},       {RF_ERR_FORMAT, 1},
        {RF_ERR_PLUGIN, 1},   {RF_ERR_USAGE, 2},        {RF_ERR_NO_ROW, 3},
        {RF_ERR_NOTHING, 3},  {RF_ERR_REFUSED, 4},      {RF_ERR_LOCKED, 5},
        {RF_ERR_DAMAGED, 6},  {RF_ERR_UNREACHABLE, 75}, {RF_ERR_INTERRUPTED, 130},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_assert_eq(rf_status_exit_code(cases[i].status), cases[i].code);
}
