/* Columns: decoding by encoding. The floor is copying as many bytes as come out. */
#include "micro.h"

#include "log/column.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES = 16384, REPEATS = 64, TEXT_SIZE = 12, ARENA_BYTES = 64 << 20 };

/* Confined to one case. */
struct column {
    rf_buf stored;
    int64_t *values, *copy;
    char *text;
    rf_slice *slices;
    rf_codec *codec;
    rf_arena arena;
};

static rf_status copy_values(void *arg, double *seconds_out, rf_err *err)
{
    struct column *column = arg;

    (void)seconds_out;
    (void)err;
    for (int i = 0; i < REPEATS; i++) {
        memcpy(column->copy, column->values, VALUES * sizeof(int64_t));
        __asm__ volatile("" : : "r"(column->copy) : "memory");
    }
    return RF_OK;
}

static rf_status decode_values(void *arg, double *seconds_out, rf_err *err)
{
    struct column *column = arg;
    rf_status status = RF_OK;

    (void)seconds_out;
    for (int i = 0; status == RF_OK && i < REPEATS; i++)
        status = rf_int_column_decode(rf_buf_slice(&column->stored), VALUES, column->copy, err);
    return status;
}

static rf_status copy_text(void *arg, double *seconds_out, rf_err *err)
{
    struct column *column = arg;

    (void)seconds_out;
    (void)err;
    for (int i = 0; i < REPEATS; i++) {
        memcpy(column->copy, column->text, (size_t)VALUES * TEXT_SIZE);
        __asm__ volatile("" : : "r"(column->copy) : "memory");
    }
    return RF_OK;
}

static rf_status decode_text(void *arg, double *seconds_out, rf_err *err)
{
    struct column *column = arg;
    rf_status status = RF_OK;
    rf_text_column decoded;

    (void)seconds_out;
    for (int i = 0; status == RF_OK && i < REPEATS; i++) {
        rf_arena_reset(&column->arena);
        status = rf_text_column_decode(rf_buf_slice(&column->stored), VALUES, column->codec,
                                       &column->arena, &column->arena, &decoded, err);
    }
    return status;
}

static uint64_t draw(void)
{
    static uint64_t seed = 88172645463325252u;

    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* ---- integers ---- */

static int64_t constant(int64_t i)
{
    (void)i;
    return 42;
}
static int64_t small(int64_t i)
{
    (void)i;
    return 1 + (int64_t)(draw() % 4);
}
static int64_t price(int64_t i)
{
    (void)i;
    return 99 + (int64_t)(draw() % 20000);
}
static int64_t rising(int64_t i)
{
    return 1700000000000000 + 640000 * i + (int64_t)(draw() % 500000);
}
static int64_t few(int64_t i)
{
    static const int64_t distinct[] = {1, 1000000007, 52000000000000017, -3, 77777777777, 12};
    (void)i;
    return distinct[draw() % 6];
}
static int64_t any(int64_t i)
{
    (void)i;
    return (int64_t)draw();
}

static rf_status measure_integers(micro *bench, struct column *column, rf_err *err)
{
    static const struct {
        const char *name;
        int64_t (*value)(int64_t);
    } kinds[] = {
        {"constant", constant},
        {"2 bits (quantities)", small},
        {"15 bits (prices)", price},
        {"deltas (times)", rising},
        {"dictionary (6 large values)", few},
        {"64 bits (hashes)", any},
    };
    micro_case one = {
        "copying", "value", VALUES * REPEATS, VALUES * REPEATS * sizeof(int64_t), true, copy_values,
        column};
    rf_status status = micro_measure(bench, &one, err);

    one.is_floor = false;
    one.run = decode_values;
    for (size_t i = 0; status == RF_OK && i < sizeof kinds / sizeof kinds[0]; i++) {
        for (int64_t k = 0; k < VALUES; k++)
            column->values[k] = kinds[i].value(k);
        rf_buf_clear(&column->stored);
        rf_arena_reset(&column->arena);
        rf_int_column_encode(column->values, VALUES, &column->arena, &column->stored);
        one.name = kinds[i].name;
        status = rf_buf_check(&column->stored, "a column", err);
        if (status == RF_OK)
            status = micro_measure(bench, &one, err);
    }
    return status;
}

/* ---- text ---- */

static rf_status measure_text(micro *bench, struct column *column, rf_err *err)
{
    static const struct {
        const char *name;
        uint64_t distinct;
    } kinds[] = {
        {"dictionary of 4 texts", 4},
        {"dictionary of 1,000 texts", 1000},
        {"a text for each", UINT64_MAX},
    };
    micro_case one = {
        "copying", "text",    VALUES * REPEATS, (uint64_t)VALUES * REPEATS * TEXT_SIZE,
        true,      copy_text, column};
    rf_status status = micro_measure(bench, &one, err);

    one.is_floor = false;
    one.run = decode_text;
    for (size_t i = 0; status == RF_OK && i < sizeof kinds / sizeof kinds[0]; i++) {
        for (size_t k = 0; k < VALUES; k++) {
            char text[32];
            snprintf(text, sizeof text, "c-%010u", (unsigned)(draw() % kinds[i].distinct));
            memcpy(column->text + k * TEXT_SIZE, text, TEXT_SIZE);
            column->slices[k] = (rf_slice){column->text + k * TEXT_SIZE, TEXT_SIZE};
        }
        rf_buf_clear(&column->stored);
        rf_arena_reset(&column->arena);
        status = rf_text_column_encode(column->slices, VALUES, column->codec, &column->arena,
                                       &column->stored, err);
        one.name = kinds[i].name;
        if (status == RF_OK)
            status = micro_measure(bench, &one, err);
    }
    return status;
}

rf_status micro_columns(micro *bench, rf_err *err)
{
    struct column column = {
        .values = calloc(VALUES, sizeof(int64_t)),
        .copy = calloc(2 * VALUES, sizeof(int64_t)),
        .text = calloc(VALUES, TEXT_SIZE),
        .slices = calloc(VALUES, sizeof(rf_slice)),
        .codec = rf_codec_new(),
    };
    rf_status status = RF_OK;

    rf_buf_init(&column.stored, ARENA_BYTES);
    rf_arena_init(&column.arena, ARENA_BYTES);
    if (!column.values || !column.copy || !column.text || !column.slices || !column.codec)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for columns");
    if (status == RF_OK) {
        micro_title("decode a column of integers");
        status = measure_integers(bench, &column, err);
    }
    if (status == RF_OK) {
        micro_title("decode a column of text");
        status = measure_text(bench, &column, err);
    }
    free(column.values);
    free(column.copy);
    free(column.text);
    free(column.slices);
    rf_codec_free(column.codec);
    rf_buf_free(&column.stored);
    rf_arena_free(&column.arena);
    return status;
}
