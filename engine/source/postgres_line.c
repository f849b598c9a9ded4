/* See postgres_line.h. */
#include "source/postgres_line.h"

#include "source/line_text.h"

#include <inttypes.h>

enum { SIGNATURE_SIZE = 11, UUID_SIZE = 16, UUID_TEXT_SIZE = 36 };

/* Microseconds from 1970 to 2000, where PostgreSQL's times begin. */
#define EPOCH_US ((int64_t)946684800 * 1000000)
/* Years 1 to 9999: what is beyond, infinity too, is no time of an event. */
#define TIME_US_MIN ((int64_t)-62135596800 * 1000000)
#define TIME_US_MAX ((int64_t)253402300800 * 1000000)

typedef struct row_value {
    bool is_null;
    rf_slice bytes;
} row_value;

static const char signature[SIGNATURE_SIZE] = {'P', 'G', 'C', 'O', 'P', 'Y', '\n', '\377', '\r', '\n', 0};

static uint32_t load_u32(const char *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return __builtin_bswap32(value);
}

static int64_t load_i64(const char *at)
{
    return (int64_t)rf_load_u64_be(at);
}

static rf_status fail_row(const rf_postgres_mark *mark, const char *what, rf_err *err)
{
    if (mark->position > 0)
        return rf_fail(err, RF_ERR_INPUT, "position %" PRId64 ": %s", mark->position, what);
    return rf_fail(err, RF_ERR_INPUT, "a row: %s", what);
}

static bool header_skip(rf_slice *row)
{
    if (row->size < SIGNATURE_SIZE + 8 || memcmp(row->data, signature, SIGNATURE_SIZE) != 0)
        return false;
    uint32_t more = load_u32(row->data + SIGNATURE_SIZE + 4);
    size_t size = SIGNATURE_SIZE + 8;
    if (more > row->size - size)
        return false;
    row->data += size + more;
    row->size -= size + more;
    return true;
}

/* Cuts the row into values. */
static bool row_cut(rf_slice row, row_value *values, uint32_t count)
{
    if (row.size < 2 || (uint8_t)row.data[0] * 256u + (uint8_t)row.data[1] != count)
        return false;
    const char *at = row.data + 2;
    const char *end = row.data + row.size;
    for (uint32_t i = 0; i < count; i++) {
        if (end - at < 4)
            return false;
        uint32_t size = load_u32(at);
        at += 4;
        values[i].is_null = size == UINT32_MAX;
        if (values[i].is_null)
            size = 0;
        if (size > (size_t)(end - at))
            return false;
        values[i].bytes = (rf_slice){at, size};
        at += size;
    }
    return at == end;
}

/* The sizes that the kinds of a fixed size have. */
static bool has_right_size(rf_postgres_kind kind, size_t size)
{
    switch (kind) {
    case RF_KIND_INTEGER:
    case RF_KIND_TIME:
    case RF_KIND_LOCAL_TIME:
        return size == 8;
    case RF_KIND_UUID:
    case RF_KIND_HEX:
        return size == UUID_SIZE;
    case RF_KIND_BOOL:
        return size == 1;
    case RF_KIND_JSONB:
        return size > 1;
    case RF_KIND_NUMBER:
    case RF_KIND_TEXT:
    case RF_KIND_JSON:
    case RF_KIND_BYTES:
        return true;
    }
    return false;
}

static rf_slice uuid_text(rf_slice bytes, bool has_dashes, char out[UUID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    size_t size = 0;

    for (unsigned i = 0; i < UUID_SIZE; i++) {
        uint8_t byte = (uint8_t)bytes.data[i];
        if (has_dashes && (i == 4 || i == 6 || i == 8 || i == 10))
            out[size++] = '-';
        out[size++] = digits[byte >> 4];
        out[size++] = digits[byte & 15];
    }
    return (rf_slice){out, size};
}

static void time_append(rf_buf *out, const char *name, int64_t pg_us, bool is_local)
{
    int64_t us;

    if (__builtin_add_overflow(pg_us, EPOCH_US, &us) || us < TIME_US_MIN || us >= TIME_US_MAX) {
        rf_line_string(out, name, RF_SLICE("infinity"));
        return;
    }
    rf_line_time(out, name, us);
    if (is_local) /* without the Z: whose time it is says --time-zone */
        out->size -= out->failed ? 0 : 2, rf_buf_append_byte(out, '"');
}

static bool is_number(rf_slice text)
{
    return text.size > 0 && (text.data[0] == '-' ? text.size > 1 && text.data[1] != 'I'
                                                 : text.data[0] >= '0' && text.data[0] <= '9');
}

/* JSON that stands in text or bytes. */
static rf_status json_append(rf_buf *out, const char *name, rf_slice json,
                             const rf_postgres_mark *mark, rf_err *err)
{
    if (json.size > 0 && json.data[0] == '<')
        return fail_row(mark, "the payload is XML; refold reads JSON", err);
    if (!rf_line_json(out, name, json))
        return fail_row(mark, "the payload is not JSON", err);
    return RF_OK;
}

static rf_status value_append(rf_buf *out, const rf_postgres_column *column, const char *name,
                              rf_slice bytes, const rf_postgres_mark *mark, rf_err *err)
{
    char uuid[UUID_TEXT_SIZE];

    switch (column->kind) {
    case RF_KIND_INTEGER:
        rf_line_integer(out, name, load_i64(bytes.data));
        break;
    case RF_KIND_NUMBER:
        if (is_number(bytes))
            rf_line_raw(out, name, bytes);
        else
            rf_line_string(out, name, bytes);
        break;
    case RF_KIND_TEXT:
        rf_line_string(out, name, bytes);
        break;
    case RF_KIND_BOOL:
        rf_line_raw(out, name, bytes.data[0] ? RF_SLICE("true") : RF_SLICE("false"));
        break;
    case RF_KIND_UUID:
    case RF_KIND_HEX:
        rf_line_plain(out, name, uuid_text(bytes, column->kind == RF_KIND_UUID, uuid));
        break;
    case RF_KIND_TIME:
    case RF_KIND_LOCAL_TIME:
        time_append(out, name, load_i64(bytes.data), column->kind == RF_KIND_LOCAL_TIME);
        break;
    case RF_KIND_JSONB:
        rf_line_raw(out, name, (rf_slice){bytes.data + 1, bytes.size - 1});
        break;
    case RF_KIND_JSON:
    case RF_KIND_BYTES:
        return json_append(out, name, bytes, mark, err);
    }
    return RF_OK;
}

static bool is_omitted(const rf_postgres_column *column, const row_value *value)
{
    return value->is_null ||
           (column->omitted && rf_slice_equal(value->bytes, rf_slice_of(column->omitted)));
}

/* Digits are a schema; anything else is kept for metadata. */
static bool is_schema(rf_slice text)
{
    if (text.size == 0 || text.size > 9)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    }
    return true;
}

static int64_t digits_value(rf_slice text)
{
    int64_t value = 0;

    for (size_t i = 0; i < text.size; i++)
        value = value * 10 + (text.data[i] - '0');
    return value;
}

/* The stream's name, with what stands before it. */
static rf_status stream_append(rf_buf *out, const rf_postgres_column *column, rf_slice bytes,
                               rf_slice prefix, const rf_postgres_mark *mark, rf_err *err)
{
    char text[1024], uuid[UUID_TEXT_SIZE];
    rf_slice name = bytes;

    if (prefix.size == 0)
        return value_append(out, column, column->member, bytes, mark, err);
    if (column->kind == RF_KIND_UUID || column->kind == RF_KIND_HEX)
        name = uuid_text(bytes, column->kind == RF_KIND_UUID, uuid);
    if (prefix.size + 1 + name.size > sizeof text)
        return fail_row(mark, "the stream's name is too long", err);
    memcpy(text, prefix.data, prefix.size);
    text[prefix.size] = '/';
    memcpy(text + prefix.size + 1, name.data, name.size);
    rf_line_string(out, column->member, (rf_slice){text, prefix.size + 1 + name.size});
    return RF_OK;
}

/* Facts that say nothing are left out: false, and what is not there. */
static rf_status fact_append(rf_buf *out, const rf_postgres_column *column, const row_value *value,
                             const rf_postgres_mark *mark, bool *is_begun, rf_err *err)
{
    bool is_schema_text = column->role == RF_ROLE_SCHEMA;

    if (is_schema_text && (column->kind != RF_KIND_TEXT || is_schema(value->bytes)))
        return RF_OK;
    if (is_omitted(column, value) ||
        (column->kind == RF_KIND_BOOL && !value->bytes.data[0]))
        return RF_OK;
    if (!*is_begun)
        rf_buf_append(out, ",\"metadata\":{", 13);
    *is_begun = true;
    return value_append(out, column, is_schema_text ? "revision" : column->member, value->bytes, mark,
                        err);
}

/* Metadata's own members, then the facts. */
static rf_status metadata_append(const rf_postgres_layout *layout, const row_value *values,
                                 rf_buf *out, const rf_postgres_mark *mark, rf_err *err)
{
    bool is_open = false;
    rf_status status = RF_OK;

    for (uint32_t i = 0; i < layout->column_count && status == RF_OK; i++) {
        const rf_postgres_column *column = &layout->columns[i];
        if (column->role != RF_ROLE_METADATA || values[i].is_null)
            continue;
        status = value_append(out, column, column->member, values[i].bytes, mark, err);
        /* What is no object stays as it is, and facts find no place. */
        while (!out->failed && out->size > 0 && strchr(" \t\r", out->data[out->size - 1]))
            out->size--;
        if (out->failed || out->size == 0 || out->data[out->size - 1] != '}')
            return status;
        out->size--;
        is_open = true;
    }
    for (uint32_t i = 0; i < layout->column_count && status == RF_OK; i++) {
        const rf_postgres_column *column = &layout->columns[i];
        if (column->role == RF_ROLE_FACT || column->role == RF_ROLE_SCHEMA)
            status = fact_append(out, column, &values[i], mark, &is_open, err);
    }
    if (is_open)
        rf_buf_append_byte(out, '}');
    return status;
}

static rf_status member_append(const rf_postgres_column *column, const row_value *value,
                               rf_slice *prefix, rf_buf *out, rf_postgres_mark *mark, rf_err *err)
{
    switch (column->role) {
    case RF_ROLE_TRANSACTION:
        mark->transaction = load_i64(value->bytes.data);
        return RF_OK;
    case RF_ROLE_POSITION:
        mark->position = load_i64(value->bytes.data);
        break;
    case RF_ROLE_PREFIX:
        *prefix = value->bytes;
        return RF_OK;
    case RF_ROLE_STREAM:
        return stream_append(out, column, value->bytes, *prefix, mark, err);
    case RF_ROLE_SCHEMA:
        if (column->kind != RF_KIND_TEXT)
            break;
        if (is_schema(value->bytes))
            rf_line_integer(out, column->member, digits_value(value->bytes));
        return RF_OK;
    case RF_ROLE_METADATA:
    case RF_ROLE_FACT:
        return RF_OK; /* last */
    case RF_ROLE_MEMBER:
    case RF_ROLE_DATA:
        break;
    case RF_ROLE_STATE:
    case RF_ROLE_FILTER:
        RF_ASSERT(false); /* a row of states has a way of its own; filters are not of a row */
    }
    return value_append(out, column, column->member, value->bytes, mark, err);
}

/* A row of the eventsourcing library: its five columns in the preset's order. */
static rf_status state_append(const rf_postgres_layout *layout, rf_eventsourcing *decoder,
                              const row_value *values, rf_buf *out, rf_postgres_place *place,
                              rf_err *err)
{
    enum { POSITION, STREAM, VERSION, TOPIC, STATE, COUNT };
    rf_postgres_mark *mark = &place->mark;
    char uuid[UUID_TEXT_SIZE];
    bool is_uuid = layout->columns[STREAM].kind == RF_KIND_HEX;

    RF_ASSERT(layout->column_count == COUNT && layout->columns[STATE].role == RF_ROLE_STATE);
    for (unsigned i = 0; i < COUNT; i++) {
        if (values[i].is_null)
            return fail_row(mark, "a column of the row is null", err);
        if (!has_right_size(layout->columns[i].kind, values[i].bytes.size))
            return fail_row(mark, "the server sent a value of a wrong size", err);
        if (i == POSITION)
            mark->position = load_i64(values[i].bytes.data);
    }
    rf_eventsourcing_row row = {
        .position = mark->position,
        .originator = is_uuid ? uuid_text(values[STREAM].bytes, false, uuid) : values[STREAM].bytes,
        .originator_is_uuid = is_uuid,
        .version = load_i64(values[VERSION].bytes.data),
        .topic = values[TOPIC].bytes,
        .state = values[STATE].bytes,
    };
    rf_status status = rf_eventsourcing_line(decoder, &row, out, err);
    place->fixed_end = out->size;
    return status == RF_OK ? RF_OK : rf_err_context(err, "position %" PRId64, mark->position);
}

static rf_status line_append(const rf_postgres_layout *layout, const row_value *values, rf_buf *out,
                             rf_postgres_place *place, rf_err *err)
{
    rf_postgres_mark *mark = &place->mark;
    rf_slice prefix = RF_SLICE("");
    rf_status status = RF_OK;

    rf_line_begin(out);
    for (uint32_t i = 0; i < layout->column_count && status == RF_OK; i++) {
        const rf_postgres_column *column = &layout->columns[i];
        if (i == layout->fixed_count)
            place->fixed_end = out->size;
        if (!values[i].is_null && !has_right_size(column->kind, values[i].bytes.size))
            return fail_row(mark, "the server sent a value of a wrong size", err);
        if (is_omitted(column, &values[i])) {
            bool is_order = column->role == RF_ROLE_POSITION || column->role == RF_ROLE_TRANSACTION;
            if (is_order)
                return fail_row(mark, "it has no position", err);
            if (column->role == RF_ROLE_DATA)
                rf_line_raw(out, column->member, RF_SLICE("null"));
            continue;
        }
        status = member_append(column, &values[i], &prefix, out, mark, err);
    }
    if (layout->fixed_count >= layout->column_count)
        place->fixed_end = out->size;
    if (status == RF_OK)
        status = metadata_append(layout, values, out, mark, err);
    rf_line_end(out);
    return status;
}

rf_status rf_postgres_line_append(const rf_postgres_layout *layout, rf_eventsourcing *decoder,
                                  rf_slice row, bool *is_begun_io,
                                  rf_buf *out, rf_postgres_place *place_out, bool *is_row_out,
                                  rf_err *err)
{
    row_value values[RF_POSTGRES_COLUMNS_MAX];
    rf_postgres_place place = {.begin = out->size, .fixed_end = out->size};
    size_t size = out->size;

    RF_ASSERT(layout->column_count > 0 && layout->column_count <= RF_POSTGRES_COLUMNS_MAX);
    if (!*is_begun_io && !header_skip(&row))
        return fail_row(&place.mark, "the server's copy has no beginning", err);
    *is_begun_io = true;
    *is_row_out = !(row.size == 2 && row.data[0] == '\377' && row.data[1] == '\377');
    if (!*is_row_out)
        return RF_OK;
    if (!row_cut(row, values, layout->column_count))
        return fail_row(&place.mark, "the server sent a row that is not whole", err);
    rf_status status = decoder ? state_append(layout, decoder, values, out, &place, err)
                               : line_append(layout, values, out, &place, err);
    if (status == RF_OK)
        status = rf_buf_check(out, "a block of events", err);
    if (status != RF_OK)
        out->size = out->failed ? 0 : size;
    else
        *place_out = place;
    return status;
}
