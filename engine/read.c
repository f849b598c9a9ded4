/* Reading read models; see refold/read.h.
 *
 * A reader is a pin of one generation and one thread's view of its files. Rows are decoded into
 * values that belong to the reader (or cursor) and whose text stands in the mapped file: nothing is
 * copied.
 */
#include "catalog/named.h"
#include "catalog/rows.h"
#include "catch_up/catch_up_chosen.h"
#include "event/key.h"
#include "refold/read.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>

struct rf_reader {
    rf_store *store;
    rf_named named; /* what refresh moves along with */
    uint64_t stamp; /* of the catalog when it was last looked at */
    rf_pinned pinned;
    rf_rows *rows;
    rf_reader_column *columns;
    rf_reader_column key_parts[RF_KEY_PARTS_MAX];
    rf_reader_index indexes[RF_MANIFEST_INDEXES_MAX];
    rf_value *values;
    rf_reader_info info;
    uint32_t cursor_count;
    /* of rows as they were; made at first use */
    rf_buf as_of; /* the last one, as it would be stored */
    rf_catch_up *past; /* of the generation as the catalog was at past_stamp */
    rf_pool *past_pool;
    uint64_t past_stamp;
};

struct rf_cursor {
    rf_reader *reader;
    rf_rows_cursor *rows;
    const rf_manifest_index *index; /* NULL: rows in key order */
    rf_reader_column parts[RF_KEY_PARTS_MAX]; /* of the index */
    rf_value *values;
    bool has_to;
    bool is_done;
    rf_slice prefix; /* these two stand in `bytes` */
    rf_slice to;
    char bytes[];
};

/* What belongs to one generation: made anew by refresh, beside the old, which is dropped on success
 * only. */
static void drop_generation(rf_reader *reader)
{
    rf_catch_up_close(reader->past);
    reader->past = NULL;
    rf_rows_close(reader->rows);
    rf_catalog_unpin(&reader->pinned);
    free(reader->columns);
    free(reader->values);
}

/* The facts of the position that the last call was at. */
static void note_checkpoint(rf_reader *reader)
{
    const rf_checkpoint *checkpoint = rf_rows_checkpoint(reader->rows);

    if (checkpoint->position == reader->info.position && reader->info.digest[0] != '\0')
        return;
    reader->info.position = checkpoint->position;
    reader->info.rows = checkpoint->digest.rows;
    rf_digest_format(&checkpoint->digest, reader->info.digest);
}

static rf_status take_generation(rf_reader *reader, uint64_t number, rf_err *err)
{
    rf_catalog *catalog = reader->store->catalog;
    rf_status status =
        number == 0 ? rf_catalog_pin_named(catalog, &reader->named, &reader->pinned, err)
                    : rf_catalog_pin(catalog, reader->named.name, number, &reader->pinned, err);
    if (status != RF_OK)
        return status;
    const rf_manifest *manifest = &reader->pinned.manifest;
    reader->columns = calloc(manifest->column_count + 1, sizeof *reader->columns);
    reader->values = calloc(manifest->column_count + 1, sizeof *reader->values);
    if (!reader->columns || !reader->values)
        status = rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a reader", reader->named.name);
    if (status == RF_OK)
        status = rf_rows_open(reader->store->catalog, &reader->pinned, &reader->rows, err);
    if (status != RF_OK) {
        drop_generation(reader);
        return status;
    }
    for (uint32_t i = 0; i < manifest->column_count; i++)
        reader->columns[i] = (rf_reader_column){
            manifest->columns[i].name, manifest->columns[i].kind, manifest->columns[i].scale};
    for (uint32_t i = 0; i < manifest->key_part_count; i++)
        reader->key_parts[i] = (rf_reader_column){
            manifest->key[i].name, manifest->key[i].kind, manifest->key[i].scale};
    for (uint32_t i = 0; i < manifest->index_count; i++)
        reader->indexes[i] = (rf_reader_index){manifest->indexes[i].columns,
                                               manifest->indexes[i].column_count};
    reader->info = (rf_reader_info){
        .name = reader->named.name,
        .generation = manifest->number,
        .version = manifest->version,
        .columns = reader->columns,
        .column_count = manifest->column_count,
        .key_parts = reader->key_parts,
        .key_part_count = manifest->key_part_count,
        .indexes = reader->indexes,
        .index_count = manifest->index_count,
    };
    note_checkpoint(reader);
    return RF_OK;
}

rf_status rf_reader_open(rf_store *store, const char *name, uint64_t generation,
                         rf_reader **reader_out, rf_err *err)
{
    rf_named named;

    rf_status status = rf_named_parse(name, &named, err);
    if (status == RF_OK)
        status = rf_named_check_number(&named, generation, err);
    if (status != RF_OK)
        return status;
    rf_reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a reader", name);
    reader->store = store;
    rf_buf_init(&reader->as_of, RF_ROW_SIZE_MAX);
    reader->named = named;
    status = rf_kv_visible(rf_catalog_kv(store->catalog), &reader->stamp, err);
    if (status == RF_OK)
        status = take_generation(reader, generation, err);
    if (status != RF_OK) {
        free(reader);
        return status;
    }
    *reader_out = reader;
    return RF_OK;
}

void rf_reader_close(rf_reader *reader)
{
    if (!reader)
        return;
    RF_ASSERT(reader->cursor_count == 0);
    drop_generation(reader);
    rf_pool_free(reader->past_pool);
    rf_buf_free(&reader->as_of);
    free(reader);
}

rf_status rf_reader_refresh(rf_reader *reader, bool *changed_out, rf_err *err)
{
    rf_catalog *catalog = reader->store->catalog;
    rf_catalog_generation now;

    RF_ASSERT(reader->cursor_count == 0);
    uint64_t visible = reader->stamp;
    bool changed = false;
    bool looks = rf_catalog_stamp(catalog) != reader->stamp;
    if (looks) {
        rf_status status = rf_kv_visible(rf_catalog_kv(catalog), &visible, err);
        if (status == RF_OK)
            status = rf_named_find(catalog, &reader->named, &now, err);
        if (status != RF_OK)
            return status;
        changed = now.number != reader->info.generation;
    }
    if (changed) {
        rf_reader before = *reader;
        reader->past = NULL; /* of the one before */
        rf_status status = take_generation(reader, 0, err);
        if (status != RF_OK) {
            *reader = before; /* its parts of the key stand in it */
            return status;
        }
        drop_generation(&before);
    } else if (looks) {
        uint64_t position = reader->info.position;
        rf_status status = rf_rows_refresh(reader->rows, err);
        if (status != RF_OK)
            return status;
        note_checkpoint(reader);
        changed = reader->info.position != position;
    }
    reader->stamp = visible;
    if (changed_out)
        *changed_out = changed;
    return RF_OK;
}

const rf_reader_info *rf_reader_get_info(const rf_reader *reader)
{
    return &reader->info;
}

rf_status rf_reader_parse_key(const rf_reader *reader, rf_slice text, rf_key_use use,
                              char bytes[RF_KEY_BYTES_MAX], rf_slice *key_out, rf_err *err)
{
    const rf_reader_info *info = &reader->info;
    rf_key_bytes key;

    if (rf_key_is_text(info->key_parts, info->key_part_count)) {
        *key_out = text;
        return RF_OK;
    }
    rf_status status =
        rf_key_parse(text, info->key_parts, info->key_part_count, use, &key, err);
    if (status != RF_OK)
        return rf_err_context(err, "%s", reader->named.name);
    memcpy(bytes, key.data, key.size);
    *key_out = (rf_slice){bytes, key.size};
    return RF_OK;
}

rf_status rf_reader_key_values(const rf_reader *reader, rf_slice key, rf_value *values_out,
                               rf_err *err)
{
    return rf_key_decode(key, reader->info.key_parts, reader->info.key_part_count, values_out, err);
}

/* The key as it is printed, in `shown`, which the caller frees. */
static rf_slice show_key(const rf_reader *reader, rf_slice key, rf_buf *shown)
{
    rf_buf_init(shown, 8 * RF_KEY_BYTES_MAX);
    if (rf_key_is_text(reader->info.key_parts, reader->info.key_part_count))
        return key;
    rf_key_append_json(shown, key, reader->info.key_parts, reader->info.key_part_count);
    return rf_buf_slice(shown);
}

/* Names the row in whatever is wrong with it. */
static rf_status decode(const rf_reader *reader, rf_slice key, rf_slice stored, rf_value *values,
                        rf_row *row_out, rf_err *err)
{
    rf_status status =
        rf_row_decode(stored, reader->columns, reader->info.column_count, values, err);

    if (status != RF_OK) {
        rf_buf buf;
        rf_slice shown = show_key(reader, key, &buf);
        (void)rf_err_context(err, "%s generation %llu, row %.*s", reader->named.name,
                             (unsigned long long)reader->info.generation, (int)shown.size,
                             shown.data);
        rf_buf_free(&buf);
        return status;
    }
    *row_out = (rf_row){key, values};
    return RF_OK;
}

static rf_status no_row(const rf_reader *reader, rf_slice key, const char *when, rf_err *err)
{
    rf_buf buf;
    rf_slice shown = show_key(reader, key, &buf);
    rf_status status = rf_fail(err, RF_ERR_NO_ROW, "%s has no row %.*s%s", reader->named.name,
                               (int)shown.size, shown.data, when);

    rf_buf_free(&buf);
    return status;
}

rf_status rf_reader_get(rf_reader *reader, rf_slice key, rf_row *row_out, rf_err *err)
{
    rf_slice stored = {NULL, 0};
    bool found = false;

    rf_status status = rf_rows_get(reader->rows, key, &stored, &found, err);
    if (status != RF_OK)
        return status;
    note_checkpoint(reader);
    if (!found)
        return no_row(reader, key, "", err);
    return decode(reader, key, stored, reader->values, row_out, err);
}

/* Loads the definition where nothing is at hand, or what was left out may have changed. One row needs no
 * workers. */
static rf_status open_past(rf_reader *reader, rf_err *err)
{
    const rf_manifest *manifest = &reader->pinned.manifest;
    const rf_catch_up_of of = {.name = manifest->name, .number = manifest->number};
    uint64_t stamp = rf_catalog_stamp(reader->store->catalog);
    rf_status status = reader->past_pool ? RF_OK : rf_pool_new(0, &reader->past_pool, err);

    if (status != RF_OK || (reader->past && stamp == reader->past_stamp))
        return status;
    rf_catch_up_close(reader->past);
    reader->past = NULL;
    reader->past_stamp = stamp;
    return rf_catch_up_open(reader->store, reader->past_pool, &of, 1, &reader->past, err);
}

rf_status rf_reader_get_as_of(rf_reader *reader, rf_slice key, uint64_t position, rf_row *row_out,
                              rf_err *err)
{
    char when[40];
    bool found = false;
    rf_log_info info;

    rf_status status = rf_log_get_info(reader->store->log, &info, err);
    if (status == RF_OK && position > info.position)
        status = rf_fail(err, RF_ERR_USAGE, "the log ends at position %llu, before %llu",
                         (unsigned long long)info.position, (unsigned long long)position);
    rf_buf_clear(&reader->as_of);
    if (status == RF_OK)
        status = open_past(reader, err);
    if (status == RF_OK)
        status = rf_catch_up_as_of(reader->past, key, position, &reader->as_of, &found, err);
    if (status != RF_OK)
        return status;
    (void)snprintf(when, sizeof when, " at position %llu", (unsigned long long)position);
    return found ? decode(reader, key, rf_buf_slice(&reader->as_of), reader->values, row_out, err)
                 : no_row(reader, key, when, err);
}

/* The index of these columns; *parts_out has room for RF_KEY_PARTS_MAX. */
static rf_status find_index(const rf_reader *reader, const char *name, uint32_t *number_out,
                            rf_reader_column *parts_out, rf_err *err)
{
    const rf_manifest *manifest = &reader->pinned.manifest;
    rf_buf buf;

    for (uint32_t i = 0; i < manifest->index_count; i++) {
        const rf_manifest_index *index = &manifest->indexes[i];
        rf_buf_init(&buf, RF_KEY_PARTS_MAX * sizeof manifest->columns[0].name);
        for (uint32_t k = 0; k < index->column_count; k++) {
            parts_out[k] = reader->columns[index->columns[k]];
            rf_buf_append_format(&buf, "%s%s", k > 0 ? "," : "", parts_out[k].name);
        }
        bool found = rf_slice_equal(rf_buf_slice(&buf), rf_slice_of(name));
        rf_buf_free(&buf);
        if (found) {
            *number_out = i;
            return RF_OK;
        }
    }
    return rf_fail(err, RF_ERR_ABSENT, "%s has no index of %s", reader->named.name, name);
}

rf_status rf_reader_parse_index_key(const rf_reader *reader, const char *index, rf_slice text,
                                    rf_key_use use, char bytes[RF_KEY_BYTES_MAX],
                                    rf_slice *key_out, rf_err *err)
{
    rf_reader_column parts[RF_KEY_PARTS_MAX];
    rf_key_bytes key;
    uint32_t number = 0;

    rf_status status = find_index(reader, index, &number, parts, err);
    if (status != RF_OK)
        return status;
    status = rf_key_parse(text, parts, reader->pinned.manifest.indexes[number].column_count, use,
                          &key, err);
    if (status != RF_OK)
        return rf_err_context(err, "%s, index of %s", reader->named.name, index);
    memcpy(bytes, key.data, key.size);
    *key_out = (rf_slice){bytes, key.size};
    return RF_OK;
}

/* The table that the cursor goes through. */
static rf_status open_table(rf_cursor *cursor, const rf_reader *reader, const char *index,
                            const rf_range *range, rf_err *err)
{
    const rf_delta_range wanted = {
        .from = range->from,
        .to = range->to,
        .prefix = range->prefix,
        .limit = range->limit,
    };
    uint32_t table = RF_DELTA_ROWS;
    uint32_t number = 0;
    rf_status status = RF_OK;

    if (index)
        status = find_index(reader, index, &number, cursor->parts, err);
    if (status == RF_OK && index) {
        cursor->index = &reader->pinned.manifest.indexes[number];
        table = RF_DELTA_INDEXES + number;
    }
    return status == RF_OK ? rf_rows_cursor_open(reader->rows, table, &wanted, &cursor->rows, err)
                           : status;
}

rf_status rf_cursor_open(rf_reader *reader, const rf_range *range, rf_cursor **cursor_out,
                         rf_err *err)
{
    rf_range all = {.index = NULL};

    if (!range)
        range = &all;
    size_t to_size = range->to.data ? range->to.size : 0;
    rf_cursor *cursor = calloc(1, sizeof *cursor + range->prefix.size + to_size);
    rf_value *values = calloc(reader->info.column_count + 1, sizeof *values);
    if (!cursor || !values) {
        free(cursor);
        free(values);
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a cursor", reader->named.name);
    }
    cursor->reader = reader;
    cursor->values = values;
    cursor->has_to = range->to.data != NULL;
    cursor->prefix = (rf_slice){cursor->bytes, range->prefix.size};
    cursor->to = (rf_slice){cursor->bytes + range->prefix.size, to_size};
    if (range->prefix.size > 0)
        memcpy(cursor->bytes, range->prefix.data, range->prefix.size);
    if (to_size > 0)
        memcpy(cursor->bytes + range->prefix.size, range->to.data, to_size);
    rf_status status = open_table(cursor, reader, range->index, range, err);
    if (status != RF_OK) {
        free(cursor);
        free(values);
        return status;
    }
    note_checkpoint(reader);
    reader->cursor_count++;
    *cursor_out = cursor;
    return RF_OK;
}

void rf_cursor_close(rf_cursor *cursor)
{
    if (!cursor)
        return;
    RF_ASSERT(cursor->reader->cursor_count > 0);
    cursor->reader->cursor_count--;
    rf_rows_cursor_close(cursor->rows);
    free(cursor->values);
    free(cursor);
}

/* From an entry of the index to its row: the base's, where the delta gave none. */
static rf_status follow_index(rf_cursor *cursor, rf_slice *key, rf_slice *stored_out, rf_err *err)
{
    size_t size = 0;
    bool found = false;
    rf_status status = RF_OK;

    if (rf_key_skip(*key, cursor->parts, cursor->index->column_count, &size)) {
        *key = (rf_slice){key->data + size, key->size - size};
        found = stored_out->data != NULL;
        if (!found)
            status = rf_rows_get_base(cursor->reader->rows, *key, stored_out, &found, err);
    }
    if (status == RF_OK && !found)
        status = rf_fail(err, RF_ERR_DAMAGED, "%s generation %llu: an index leads to no row",
                         cursor->reader->named.name, (unsigned long long)cursor->reader->info.generation);
    return status;
}

rf_status rf_cursor_next(rf_cursor *cursor, rf_row *row_out, rf_err *err)
{
    rf_slice key, stored;
    bool found = false;

    if (!cursor->is_done) {
        rf_status status = rf_rows_cursor_next(cursor->rows, &key, &stored, &found, err);
        if (status != RF_OK)
            return status;
        if (found && ((cursor->has_to && rf_slice_compare(key, cursor->to) >= 0) ||
                      !rf_slice_starts_with(key, cursor->prefix)))
            found = false;
        cursor->is_done = !found;
    }
    if (!found)
        return rf_fail(err, RF_ERR_NO_ROW, "%s has no more rows", cursor->reader->named.name);
    if (cursor->index) {
        rf_status status = follow_index(cursor, &key, &stored, err);
        if (status != RF_OK)
            return status;
    }
    return decode(cursor->reader, key, stored, cursor->values, row_out, err);
}
