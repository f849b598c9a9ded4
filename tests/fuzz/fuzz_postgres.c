/* Fuzz target of rows out of PostgreSQL's binary COPY: any bytes give one line or one error, and an error leaves
 * nothing behind.
 *
 * The first byte chooses the columns, the rest is a piece of the copy, with the file's header or without. */
#include "source/postgres_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef RF_HAVE_POSTGRESQL
static const rf_postgres_column columns[] = {
    {RF_ROLE_TRANSACTION, RF_KIND_INTEGER, "", NULL},
    {RF_ROLE_POSITION, RF_KIND_INTEGER, "position", NULL},
    {RF_ROLE_PREFIX, RF_KIND_TEXT, "", "default"},
    {RF_ROLE_STREAM, RF_KIND_UUID, "stream", NULL},
    {RF_ROLE_STREAM, RF_KIND_TEXT, "stream", NULL},
    {RF_ROLE_MEMBER, RF_KIND_NUMBER, "version", NULL},
    {RF_ROLE_SCHEMA, RF_KIND_TEXT, "schema", NULL},
    {RF_ROLE_MEMBER, RF_KIND_TIME, "time", NULL},
    {RF_ROLE_MEMBER, RF_KIND_LOCAL_TIME, "at", NULL},
    {RF_ROLE_DATA, RF_KIND_JSON, "data", NULL},
    {RF_ROLE_METADATA, RF_KIND_BYTES, "metadata", NULL},
    {RF_ROLE_FACT, RF_KIND_BOOL, "skipped", NULL},
    {RF_ROLE_FACT, RF_KIND_JSONB, "headers", NULL},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rf_postgres_layout layout;
    rf_postgres_place place = {.begin = 0};
    rf_buf out;

    if (size < 3)
        return 0;
    uint32_t chosen = data[0] | (uint32_t)data[1] << 8;
    bool begun = chosen >> COLUMNS & 1, is_row = false;
    layout.column_count = 0;
    for (uint32_t i = 0; i < COLUMNS; i++) {
        if (chosen >> i & 1)
            layout.columns[layout.column_count++] = columns[i];
    }
    if (layout.column_count == 0)
        return 0;
    rf_buf_init(&out, 1 << 20);
    rf_buf_append(&out, "x\n", 2);
    rf_status status = rf_postgres_line_append(
        &layout, NULL, (rf_slice){(const char *)data + 2, size - 2}, &begun, &out, &place, &is_row, NULL);
    if (status == RF_OK && is_row)
        RF_ASSERT(out.size > 4 && memcmp(out.data + out.size - 2, "}\n", 2) == 0);
    else
        RF_ASSERT(out.failed || out.size == 2);
    rf_buf_free(&out);
    return 0;
}
#else
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
    return 0;
}
#endif
