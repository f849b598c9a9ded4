#include "log/column.h"

#include "log/bitpack.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed = 88172645463325252u;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static uint64_t random_of_width(unsigned width)
{
    return width == 0 ? 0 : next_random() >> (64 - width);
}

/* Encodes, decodes, compares; the size of the stored form. */
static size_t int_round_trip(const int64_t *values, size_t count)
{
    rf_arena scratch;
    rf_buf out;
    rf_err err;
    int64_t *again = malloc((count + 1) * sizeof *again);

    rf_arena_init(&scratch, 64 << 20);
    rf_buf_init(&out, 64 << 20);
    rf_int_column_encode(values, count, &scratch, &out);
    cr_assert_not(out.failed);
    /* An exact copy, so that the sanitizer sees a read past the end. */
    char *stored = malloc(out.size + (out.size == 0));
    memcpy(stored, rf_buf_slice(&out).data, out.size);
    rf_status status = rf_int_column_decode((rf_slice){stored, out.size}, count, again, &err);
    cr_assert_eq(status, RF_OK, "%s", err.message);
    cr_assert(count == 0 || memcmp(values, again, count * sizeof *values) == 0);
    size_t size = out.size;
    free(stored);
    free(again);
    rf_buf_free(&out);
    rf_arena_free(&scratch);
    return size;
}

Test(column, gives_back_integers_of_every_width_and_count)
{
    static int64_t values[1200];
    const size_t counts[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 65, 100, 129, 1000, 1200};

    for (unsigned width = 0; width <= 64; width++) {
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            uint64_t base = next_random();
            for (size_t i = 0; i < counts[c]; i++)
                values[i] = (int64_t)(base + random_of_width(width));
            size_t size = int_round_trip(values, counts[c]);
            cr_assert_leq(size,
                          24 + counts[c] * (width <= 56 ? width : 64) / 8 + counts[c] / 8 + 1);
        }
    }
}

Test(column, gives_back_differences_of_every_width)
{
    static int64_t values[700];

    for (unsigned width = 0; width <= 64; width++) {
        uint64_t at = next_random();
        for (size_t i = 0; i < 700; i++) {
            values[i] = (int64_t)at;
            at += random_of_width(width);
        }
        size_t size = int_round_trip(values, 700);
        cr_assert_leq(size, 40 + 700 * (width <= 56 ? width : 64) / 8);
    }
}

Test(column, takes_the_smallest_encoding)
{
    static int64_t values[4096];

    for (size_t i = 0; i < 4096; i++)
        values[i] = -7;
    cr_assert_leq(int_round_trip(values, 4096), 3, "constant");
    for (size_t i = 0; i < 4096; i++)
        values[i] = 1000000000000 + (int64_t)i * 3;
    cr_assert_leq(int_round_trip(values, 4096), 20, "equal steps");
    for (size_t i = 0; i < 4096; i++)
        values[i] = (int64_t)random_of_width(2) * 1000000007;
    cr_assert_leq(int_round_trip(values, 4096), 4096 / 4 + 40, "few distinct values");
    for (size_t i = 0; i < 4096; i++)
        values[i] = (int64_t)next_random();
    cr_assert_leq(int_round_trip(values, 4096), 4096 * 8 + 1, "noise");
}

Test(column, gives_back_the_ends_of_64_bits)
{
    int64_t ends[] = {INT64_MIN, INT64_MAX, 0, -1, 1, INT64_MIN, INT64_MIN + 1, INT64_MAX};
    int64_t alternating[200];

    int_round_trip(ends, 8);
    int_round_trip(ends, 2);
    int_round_trip(ends, 1);
    for (size_t i = 0; i < 200; i++)
        alternating[i] = i % 2 ? INT64_MIN : INT64_MAX;
    int_round_trip(alternating, 200);
}

Test(column, packs_codes_of_every_width)
{
    uint32_t codes[333], again[333];

    for (unsigned width = 0; width <= RF_BITPACK_CODE_WIDTH_MAX; width++) {
        rf_buf out;
        rf_buf_init(&out, 1 << 20);
        for (size_t i = 0; i < 333; i++)
            codes[i] = (uint32_t)random_of_width(width);
        rf_bitpack_u32(codes, 333, width, &out);
        cr_assert_eq(out.size, rf_bitpack_size(333, width));
        rf_bitunpack_u32(rf_buf_slice(&out), 333, 0, width, again);
        cr_assert_arr_eq(codes, again, sizeof codes);
        rf_buf_free(&out);
    }
}

Test(column, unpacks_alike_with_wide_instructions_and_without)
{
    static int64_t values[500], wide[500], plain[500];
    static uint32_t wide_u32[500], plain_u32[500];

    for (unsigned width = 0; width <= RF_BITPACK_WIDTH_MAX; width++) {
        for (size_t count = 0; count < 500; count = count < 80 ? count + 1 : count + 97) {
            rf_buf out;
            rf_buf_init(&out, 1 << 20);
            for (size_t i = 0; i < count; i++)
                values[i] = (int64_t)random_of_width(width);
            rf_bitpack(values, count, 0, width, &out);
            /* An exact copy, so that the sanitizer sees a read past the end. */
            char *bytes = malloc(out.size + (out.size == 0));
            memcpy(bytes, rf_buf_slice(&out).data, out.size);
            rf_slice packed = {bytes, out.size};
            rf_bitunpack(packed, count, 77, width, wide);
            rf_bitunpack_plain(packed, count, 77, width, plain);
            cr_assert(memcmp(wide, plain, count * sizeof *wide) == 0, "width %u", width);
            if (width <= RF_BITPACK_U32_WIDTH_MAX) {
                rf_bitunpack_u32(packed, count, 77, width, wide_u32);
                rf_bitunpack_u32_plain(packed, count, 77, width, plain_u32);
                cr_assert(memcmp(wide_u32, plain_u32, count * sizeof *wide_u32) == 0, "width %u",
                          width);
            }
            for (size_t i = 0; i < count; i++)
                cr_assert_eq(wide[i], values[i] + 77);
            free(bytes);
            rf_buf_free(&out);
        }
    }
}

Test(column, refuses_integers_that_are_cut_short_or_too_long)
{
    int64_t values[100], again[100];
    rf_arena scratch;
    rf_err err;

    rf_arena_init(&scratch, 1 << 20);
    for (unsigned shape = 0; shape < 4; shape++) {
        rf_buf out;
        rf_buf_init(&out, 1 << 20);
        for (size_t i = 0; i < 100; i++)
            values[i] = shape == 0   ? 5
                        : shape == 1 ? (int64_t)random_of_width(30)
                        : shape == 2 ? (int64_t)i * 1000 + (int64_t)random_of_width(3)
                                     : (int64_t)(random_of_width(2) * 123456789123);
        rf_int_column_encode(values, 100, &scratch, &out);
        for (size_t size = 0; size < out.size; size++)
            cr_assert_eq(rf_int_column_decode((rf_slice){out.data, size}, 100, again, &err),
                         RF_ERR_DAMAGED);
        rf_buf_append_byte(&out, 0);
        cr_assert_eq(rf_int_column_decode(rf_buf_slice(&out), 100, again, &err), RF_ERR_DAMAGED);
        rf_buf_free(&out);
    }
    cr_assert_eq(rf_int_column_decode(RF_SLICE("\x00"), 0, again, &err), RF_ERR_DAMAGED);
    cr_assert_eq(rf_int_column_decode(RF_SLICE("\x09\x00"), 1, again, &err), RF_ERR_DAMAGED);
    cr_assert_eq(rf_int_column_decode(RF_SLICE("\x01\x39\x00"), 1, again, &err), RF_ERR_DAMAGED);
    rf_arena_free(&scratch);
}

Test(column, refuses_a_code_beyond_its_dictionary)
{
    int64_t again[8];
    rf_err err;

    /* Three values need two bits; the eight codes are all 3. */
    cr_assert_eq(rf_int_column_decode(RF_SLICE("\x03\x03\x02\x04\x06\xff\xff"), 8, again, &err),
                 RF_ERR_DAMAGED);
    cr_assert_eq(rf_int_column_decode(RF_SLICE("\x03\x03\x02\x04\x06\xaa\xaa"), 8, again, &err),
                 RF_OK);
    cr_assert_eq(again[7], 3);
}

typedef struct text_fixture {
    rf_codec *codec;
    rf_arena scratch, arena;
    rf_buf out;
} text_fixture;

static text_fixture text_begin(void)
{
    text_fixture f = {.codec = rf_codec_new()};

    cr_assert_not_null(f.codec);
    rf_arena_init(&f.scratch, 64 << 20);
    rf_arena_init(&f.arena, 64 << 20);
    rf_buf_init(&f.out, 64 << 20);
    return f;
}

static void text_end(text_fixture *f)
{
    rf_codec_free(f->codec);
    rf_arena_free(&f->scratch);
    rf_arena_free(&f->arena);
    rf_buf_free(&f->out);
}

/* Numbers that stay numbers tell the texts, all of them and each. */
static void numbers_agree(text_fixture *f, const rf_text_column *texts, size_t count)
{
    rf_text_column column;
    const rf_slice *values;

    cr_assert_eq(rf_text_column_decode(rf_buf_slice(&f->out), count, f->codec, &f->arena, NULL,
                                       &column, NULL), RF_OK);
    if (!texts->numbered) {
        for (size_t i = 0; i < count; i++)
            cr_assert(rf_slice_equal(rf_text_column_at(&column, i), rf_text_column_at(texts, i)));
        return;
    }
    cr_assert_null(column.values);
    cr_assert_null(column.codes);
    for (size_t i = 0; i < count; i++) {
        cr_assert_leq((uint64_t)column.numbered->numbers[i], column.numbered->max);
        cr_assert_eq(rf_text_numbers_write(column.numbered, &column.numbered->numbers[i], 1,
                                           &f->arena, &f->arena, &values, NULL), RF_OK);
        cr_assert(rf_slice_equal(*values, texts->values[i]));
    }
}

static size_t text_round_trip(const rf_slice *values, size_t count, bool compress, bool *coded_out)
{
    text_fixture f = text_begin();
    rf_text_column column;
    rf_err err;

    rf_status status =
        rf_text_column_encode(values, count, compress ? f.codec : NULL, &f.scratch, &f.out, &err);
    cr_assert_eq(status, RF_OK, "%s", err.message);
    status = rf_text_column_decode(rf_buf_slice(&f.out), count, f.codec, &f.arena, &f.arena, &column, &err);
    cr_assert_eq(status, RF_OK, "%s", err.message);
    for (size_t i = 0; i < count; i++)
        cr_assert(rf_slice_equal(values[i], rf_text_column_at(&column, i)), "value %zu", i);
    *coded_out = column.codes != NULL;
    numbers_agree(&f, &column, count);
    size_t size = f.out.size;
    text_end(&f);
    return size;
}

Test(column, gives_back_texts_plain_and_by_dictionary)
{
    static char bytes[3000][24];
    static rf_slice values[3000];
    bool coded;

    for (unsigned distinct = 1; distinct <= 4096; distinct *= 2) {
        for (size_t i = 0; i < 3000; i++) {
            int size = snprintf(bytes[i], sizeof bytes[i], "%s%llu",
                                next_random() % 2 ? "some longer text " : "x",
                                (unsigned long long)(next_random() % distinct));
            values[i] = (rf_slice){bytes[i], (size_t)size};
        }
        for (int compress = 0; compress < 2; compress++) {
            for (size_t count = 0; count <= 3000; count = count * 3 + 1)
                text_round_trip(values, count, compress, &coded);
            text_round_trip(values, 3000, compress, &coded);
            if (distinct <= 512)
                cr_assert(coded, "%u distinct texts", distinct);
        }
    }
}

Test(column, stores_texts_that_are_numbered_as_numbers)
{
    static const struct {
        const char *format;
        unsigned bits;
        size_t size_max; /* of 1,000 */
    } forms[] = {
        {"c-%06llu", 17, 17 * 125 + 40},     {"%llu", 20, 20 * 125 + 40},
        {"%016llx", 64, 64 * 125 + 40},      {"user/%llu", 9, 16 * 125 + 40},
        {"%018llu", 59, 64 * 125 + 40},      {"ab%05llx", 20, 20 * 125 + 40},
        {"%09llu", 29, 29 * 125 + 40},       {"a long beginning 7%017llu", 56, 56 * 125 + 60},
        {"%llu", 63, SIZE_MAX},              {"0%llu", 3, SIZE_MAX},
        {"%llux", 20, SIZE_MAX},             {"%012llX", 48, SIZE_MAX},
    };
    static char bytes[1000][48];
    static rf_slice values[1000];
    bool coded;

    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
        for (size_t i = 0; i < 1000; i++) {
            unsigned long long number = random_of_width(forms[f].bits);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            int size = snprintf(bytes[i], sizeof bytes[i], forms[f].format, number);
#pragma GCC diagnostic pop
            values[i] = (rf_slice){bytes[i], (size_t)size};
        }
        for (size_t count = 0; count < 1000; count = count * 3 + 1)
            text_round_trip(values, count, true, &coded);
        cr_assert_leq(text_round_trip(values, 1000, true, &coded), forms[f].size_max, "%s",
                      forms[f].format);
    }
}

Test(column, refuses_numbered_texts_that_are_cut_short_or_too_long)
{
    static char bytes[100][16];
    static rf_slice values[100];
    text_fixture f = text_begin();
    rf_text_column column;
    rf_err err;

    for (size_t i = 0; i < 100; i++)
        values[i] = (rf_slice){bytes[i], (size_t)snprintf(bytes[i], 16, "c-%04zu", i * 97)};
    cr_assert_eq(rf_text_column_encode(values, 100, f.codec, &f.scratch, &f.out, &err), RF_OK);
    for (size_t size = 0; size < f.out.size; size++)
        cr_assert_eq(rf_text_column_decode((rf_slice){f.out.data, size}, 100, f.codec, &f.arena,
                                           &f.arena, &column, &err),
                     RF_ERR_DAMAGED);
    f.out.data[4] = 3; /* digits, behind flags, size and two bytes of beginning */
    cr_assert_eq(
        rf_text_column_decode(rf_buf_slice(&f.out), 100, f.codec, &f.arena, &f.arena, &column, &err),
        RF_ERR_DAMAGED);
    text_end(&f);
}

Test(column, stores_steps_of_whole_milliseconds_without_their_zeros)
{
    static int64_t values[4096];
    int64_t at = 1700000000000000;

    for (size_t i = 0; i < 4096; i++) {
        at += 1000 * (int64_t)random_of_width(9);
        values[i] = at;
    }
    cr_assert_leq(int_round_trip(values, 4096), 4096 * 9 / 8 + 30);
    for (size_t i = 0; i < 4096; i++)
        values[i] = at + 1000000 * (int64_t)random_of_width(30) - 7;
    int_round_trip(values, 4096);
    for (size_t i = 0; i < 4096; i++)
        values[i] = (int64_t)i * 3 + (i > 4000 ? INT64_C(9000000000000000000) : 0);
    int_round_trip(values, 4096);
}

Test(column, gives_back_empty_texts_and_any_bytes)
{
    rf_slice values[4] = {RF_SLICE(""), RF_SLICE("\0a\xff"), RF_SLICE(""), RF_SLICE("z")};
    bool coded;

    text_round_trip(values, 4, true, &coded);
    text_round_trip(values, 1, true, &coded);
}

Test(column, stores_repeated_long_texts_in_few_bytes)
{
    static char bytes[500][64];
    static rf_slice values[500];
    bool coded;

    for (size_t i = 0; i < 500; i++) {
        int size = snprintf(bytes[i], sizeof bytes[i], "the same beginning, %zu, and end", i);
        values[i] = (rf_slice){bytes[i], (size_t)size};
    }
    cr_assert_lt(text_round_trip(values, 500, true, &coded), 4000);
    cr_assert_not(coded);
    cr_assert_gt(text_round_trip(values, 500, false, &coded), 500 * 25);
}

Test(column, refuses_texts_that_are_cut_short)
{
    static const rf_slice values[6] = {RF_SLICE("red"), RF_SLICE("green"), RF_SLICE("red"),
                                       RF_SLICE("red"), RF_SLICE("green"), RF_SLICE("blue")};

    for (size_t count = 3; count <= 6; count += 3) {
        text_fixture f = text_begin();
        rf_text_column column;
        rf_err err;
        cr_assert_eq(rf_text_column_encode(values, count, NULL, &f.scratch, &f.out, &err), RF_OK);
        for (size_t size = 0; size < f.out.size; size++)
            cr_assert_eq(rf_text_column_decode((rf_slice){f.out.data, size}, count, f.codec, &f.arena, &f.arena, &column, &err),
                         RF_ERR_DAMAGED);
        rf_arena_free(&f.arena);
        rf_arena_init(&f.arena, 16);
        cr_assert_eq(
            rf_text_column_decode(rf_buf_slice(&f.out), count, f.codec, &f.arena, &f.arena, &column, &err),
            RF_ERR_MEMORY);
        text_end(&f);
    }
}

Test(column, refuses_compressed_text_that_is_not_what_was_written)
{
    text_fixture f = text_begin();
    char text[4000];
    rf_slice value = {text, sizeof text};
    rf_text_column column;
    rf_err err;

    memset(text, 'a', sizeof text);
    cr_assert_eq(rf_text_column_encode(&value, 1, f.codec, &f.scratch, &f.out, &err), RF_OK);
    cr_assert_lt(f.out.size, 200);
    /* flags, size in two bytes, size of the lengths, four bytes of lengths: the checksum follows.
     */
    f.out.data[8] = (char)(f.out.data[8] ^ 1);
    cr_assert_eq(rf_text_column_decode(rf_buf_slice(&f.out), 1, f.codec, &f.arena, &f.arena, &column, &err),
                 RF_ERR_DAMAGED);
    text_end(&f);
}

Test(column, checks_bitmaps_against_their_counts)
{
    cr_assert(rf_bitmap_check(RF_SLICE("\x05"), 3, 2));
    cr_assert_not(rf_bitmap_check(RF_SLICE("\x05"), 3, 3));
    cr_assert_not(rf_bitmap_check(RF_SLICE("\x0d"), 3, 3), "a bit past the last");
    cr_assert_not(rf_bitmap_check(RF_SLICE("\x05\x00"), 3, 2), "a byte too many");
    cr_assert(rf_bitmap_check(RF_SLICE("\xff"), 8, 8));
}
