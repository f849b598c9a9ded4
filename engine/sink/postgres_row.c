#include "sink/postgres_row.h"

#include "catalog/row.h"
#include "sink/layout.h"

#define MICROSECONDS_TO_2000 INT64_C(946684800000000) /* from 1970 */

enum {
    DAYS_TO_2000 = 10957,
    NUMERIC_BASE = 10000, /* of the server's digits */
    NUMERIC_DIGITS_MAX = 10, /* 19 decimal digits, wherever the point is */
    NUMERIC_NEGATIVE = 0x4000,
    JSONB_VERSION = 1,
    FIXED_BYTES_MAX = 64, /* of a value without a length of its own, its length included */
};

const char *rf_postgres_type_name(rf_kind kind)
{
    static const char *const names[] = {
        [RF_INT] = "bigint",
        [RF_DECIMAL] = "numeric",
        [RF_FLOAT] = "double precision",
        [RF_BOOL] = "boolean",
        [RF_TEXT] = "text",
        [RF_TIME] = "timestamp with time zone",
        [RF_DATE] = "date",
        [RF_JSON] = "jsonb",
    };
    return names[kind];
}

static char *put_u16(char *at, uint32_t value)
{
    rf_store_u16_be(at, (uint16_t)value);
    return at + 2;
}

static char *put_u32(char *at, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(at, &value, sizeof value);
    return at + 4;
}

static char *put_u64(char *at, uint64_t value)
{
    rf_store_u64_be(at, value);
    return at + 8;
}

static char *put_long(char *at, int64_t value)
{
    return put_u64(put_u32(at, 8), (uint64_t)value);
}

/* As the server sends it: digits of base 10,000 around the point, none of them zero at either end;
 * `weight` is the power of the first. */
static char *put_numeric(char *at, int64_t value, unsigned scale)
{
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    uint16_t digits[NUMERIC_DIGITS_MAX];
    uint32_t count = 0, zeros = 0;
    unsigned behind = (scale + 3) / 4; /* digits behind the point */
    /* The lowest digit begins at a multiple of four decimals behind the point. */
    static const uint32_t shifts[] = {1, 10, 100, 1000};
    uint32_t shift = shifts[behind * 4 - scale];

    if (shift > 1) {
        uint32_t part = NUMERIC_BASE / shift;
        digits[count++] = (uint16_t)(left % part * shift);
        left /= part;
    }
    for (; left != 0; left /= NUMERIC_BASE)
        digits[count++] = (uint16_t)(left % NUMERIC_BASE);
    while (zeros < count && digits[zeros] == 0)
        zeros++;
    while (count > zeros && digits[count - 1] == 0)
        count--;
    int weight = count > zeros ? (int)count - 1 - (int)behind : 0;
    at = put_u32(at, 8 + 2 * (count - zeros));
    at = put_u16(at, count - zeros);
    at = put_u16(at, (uint32_t)weight);
    at = put_u16(at, value < 0 ? NUMERIC_NEGATIVE : 0);
    at = put_u16(at, scale);
    for (uint32_t i = count; i > zeros; i--)
        at = put_u16(at, digits[i - 1]);
    return at;
}

static char *put_fixed(char *at, const rf_value *value)
{
    uint64_t bits = 0;

    switch (value->kind) {
    case RF_INT:
        return put_long(at, value->integer);
    case RF_DECIMAL:
        return put_numeric(at, value->integer, value->scale);
    case RF_FLOAT:
        memcpy(&bits, &value->number, sizeof bits);
        return put_long(at, (int64_t)bits);
    case RF_BOOL:
        at = put_u32(at, 1);
        *at = value->boolean;
        return at + 1;
    case RF_TIME:
        return put_long(at, value->integer - MICROSECONDS_TO_2000);
    case RF_DATE:
        return put_u32(put_u32(at, 4), (uint32_t)(value->integer - DAYS_TO_2000));
    case RF_TEXT:
    case RF_JSON:
        break;
    }
    RF_ASSERT(value->kind != RF_TEXT && value->kind != RF_JSON);
    return at;
}

void rf_postgres_row_begin(rf_buf *out)
{
    static const char begin[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";
    rf_buf_append(out, begin, 19);
}

rf_status rf_postgres_row_add(rf_buf *out, const rf_value *values, uint32_t count,
                               uint32_t *fault_out, rf_err *err)
{
    char *at = rf_buf_reserve(out, 2 + (size_t)count * FIXED_BYTES_MAX);

    if (!at)
        return rf_buf_check(out, "rows for the server", err);
    at = put_u16(at, count);
    for (uint32_t i = 0; i < count; i++) {
        const rf_value *value = &values[i];
        if (rf_value_is_null(value)) {
            at = put_u32(at, UINT32_MAX);
        } else if (value->kind != RF_TEXT && value->kind != RF_JSON) {
            at = put_fixed(at, value);
        } else {
            rf_slice text = value->text;
            uint32_t version = value->kind == RF_JSON;
            if (memchr(text.data, '\0', text.size)) {
                *fault_out = i;
                return rf_fail(err, RF_ERR_INPUT, "a text has a zero byte");
            }
            at = put_u32(at, (uint32_t)text.size + version);
            if (version)
                *at++ = JSONB_VERSION;
            /* The rest of the row's room moves behind the text. */
            out->size = (size_t)(at - out->data);
            rf_buf_append_slice(out, text);
            at = rf_buf_reserve(out, (size_t)(count - i) * FIXED_BYTES_MAX);
            if (!at)
                return rf_buf_check(out, "rows for the server", err);
        }
    }
    out->size = (size_t)(at - out->data);
    return RF_OK;
}

void rf_postgres_row_end(rf_buf *out)
{
    rf_buf_append_u16(out, UINT16_MAX);
}
