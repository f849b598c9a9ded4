/* See build_index.h. */
#include "generation/build_index.h"

#include "event/key.h"

#include <stdlib.h>

#define ENTRIES_BYTES_MAX ((size_t)1 << 40)

/* Entries of one index in the partition at hand: sizes and bytes one after another. */
struct entries {
    rf_buf bytes;
    size_t count;
    rf_base_part *part;
    rf_block_builder *blocks;
};

struct rf_build_index {
    /* fixed after new */
    const rf_definition *definition;
    uint32_t slot_count;
    rf_base_writer *writers[RF_MANIFEST_INDEXES_MAX];
    /* by slot, then index: confined to the slot's worker */
    struct entries *entries;
};

static rf_status take_block(void *arg, rf_slice first_key, size_t size, char **room_out,
                            rf_err *err)
{
    struct entries *entries = arg;

    return rf_base_part_room(entries->part, first_key, size, room_out, err);
}

rf_status rf_build_index_new(const rf_definition *definition, const char *dir, uint32_t partitions,
                             uint32_t slot_count, rf_build_index **build_out, rf_err *err)
{
    uint32_t count = definition->index_count;
    rf_status status = RF_OK;

    *build_out = NULL;
    if (count == 0)
        return RF_OK;
    RF_ASSERT(count <= RF_MANIFEST_INDEXES_MAX);
    rf_build_index *build = calloc(1, sizeof *build);
    if (!build)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", definition->name);
    build->definition = definition;
    build->entries = calloc((size_t)slot_count * count, sizeof *build->entries);
    if (!build->entries)
        status = rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", definition->name);
    for (uint32_t i = 0; status == RF_OK && i < slot_count * count; i++) {
        struct entries *entries = &build->entries[i];
        build->slot_count = i / count + 1;
        rf_buf_init(&entries->bytes, ENTRIES_BYTES_MAX);
        entries->blocks = rf_block_builder_new(take_block, entries);
        if (!entries->blocks)
            status = rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", definition->name);
    }
    for (uint32_t i = 0; status == RF_OK && i < count; i++)
        status = rf_base_writer_new_index(dir, partitions, i, &build->writers[i], err);
    if (status != RF_OK) {
        rf_build_index_free(build);
        return status;
    }
    *build_out = build;
    return RF_OK;
}

void rf_build_index_free(rf_build_index *build)
{
    if (!build)
        return;
    for (uint32_t i = 0; i < build->definition->index_count; i++)
        rf_base_writer_free(build->writers[i]);
    for (uint32_t i = 0; i < build->slot_count * build->definition->index_count; i++) {
        rf_buf_free(&build->entries[i].bytes);
        rf_block_builder_free(build->entries[i].blocks);
    }
    free(build->entries);
    free(build);
}

/* ---- entries ---- */

/* The value of a column in a row struct, as a reader would give it. */
static rf_value column_value(const rf_column *column, const void *row)
{
    rf_value value = {.kind = column->kind, .scale = column->scale};
    const char *at = (const char *)row + column->offset;

    switch (column->kind) {
    case RF_TEXT:
    case RF_JSON:
        memcpy(&value.text, at, sizeof value.text);
        value.is_null = !value.text.data;
        break;
    case RF_BOOL:
        value.boolean = *(const unsigned char *)at != 0;
        break;
    case RF_FLOAT:
        memcpy(&value.number, at, sizeof value.number);
        break;
    case RF_TIME:
    case RF_DATE:
        memcpy(&value.integer, at, sizeof value.integer);
        value.is_null = value.integer == RF_TIME_NONE;
        break;
    case RF_INT:
    case RF_DECIMAL:
        memcpy(&value.integer, at, sizeof value.integer);
        break;
    }
    return value;
}

static bool add_key(rf_key_bytes *entry, rf_slice key)
{
    if (key.size > RF_KEY_BYTES_MAX - entry->size)
        return false;
    if (key.size > 0)
        memcpy(entry->data + entry->size, key.data, key.size);
    entry->size += key.size;
    return true;
}

rf_key_fault rf_index_entry(const rf_value *values, const uint32_t *columns, uint32_t column_count,
                            rf_slice key, char entry_out[RF_KEY_BYTES_MAX], size_t *size_out)
{
    rf_key_bytes entry = {.size = 0};
    rf_key_fault fault = RF_KEY_FINE;

    for (uint32_t i = 0; fault == RF_KEY_FINE && i < column_count; i++)
        fault = rf_key_add(&entry, &values[columns[i]]);
    if (fault == RF_KEY_FINE && !add_key(&entry, key))
        fault = RF_KEY_TOO_LONG;
    if (fault != RF_KEY_FINE)
        return fault;
    memcpy(entry_out, entry.data, entry.size);
    *size_out = entry.size;
    return RF_KEY_FINE;
}

rf_status rf_index_refuse(const rf_definition *definition, uint32_t column, rf_key_fault fault,
                          rf_slice key, rf_err *err)
{
    const char *index = definition->columns[column].name;
    rf_status status;
    rf_buf shown;

    RF_ASSERT(fault != RF_KEY_FINE);
    rf_buf_init(&shown, 8 * RF_KEY_BYTES_MAX);
    if (!rf_key_is_text(definition->key_parts, definition->key_part_count)) {
        rf_key_append_json(&shown, key, definition->key_parts, definition->key_part_count);
        key = rf_buf_slice(&shown);
    }
    if (fault == RF_KEY_HAS_NUL)
        status = rf_fail(err, RF_ERR_INPUT,
                         "%s: the row of %.*s has a zero byte in a text of the index of %s",
                         definition->name, (int)key.size, key.data, index);
    else
        status = rf_fail(err, RF_ERR_INPUT,
                         "%s: the row of %.*s has values that are too long for the index of %s: with "
                         "its key %d bytes at most",
                         definition->name, (int)key.size, key.data, index, RF_KEY_BYTES_MAX);
    rf_buf_free(&shown);
    return status;
}

/* `row` is its struct or, where that is NULL, `values` are its columns'. */
static rf_status add_entry(const rf_build_index *build, const rf_definition_index *index,
                           struct entries *entries, rf_slice key, const void *row,
                           const rf_value *values, rf_err *err)
{
    const rf_definition *definition = build->definition;
    rf_key_bytes entry = {.size = 0};
    rf_key_fault fault = RF_KEY_FINE;

    for (uint32_t i = 0; fault == RF_KEY_FINE && i < index->column_count; i++) {
        const rf_value value = row ? column_value(&definition->columns[index->columns[i]], row)
                                   : values[index->columns[i]];
        fault = rf_key_add(&entry, &value);
    }
    if (fault == RF_KEY_FINE && !add_key(&entry, key))
        fault = RF_KEY_TOO_LONG;
    if (fault != RF_KEY_FINE)
        return rf_index_refuse(definition, index->columns[0], fault, key, err);
    rf_buf_append_u16(&entries->bytes, (uint16_t)entry.size);
    rf_buf_append(&entries->bytes, entry.data, entry.size);
    entries->count++;
    return rf_buf_check(&entries->bytes, definition->name, err);
}

static rf_status add_entries(rf_build_index *build, uint32_t slot, rf_slice key, const void *row,
                             const rf_value *values, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; build && status == RF_OK && i < build->definition->index_count; i++)
        status = add_entry(build, &build->definition->indexes[i],
                           &build->entries[slot * build->definition->index_count + i], key, row,
                           values, err);
    return status;
}

rf_status rf_build_index_row(rf_build_index *build, uint32_t slot, rf_slice key, const void *row,
                             rf_err *err)
{
    return add_entries(build, slot, key, row, NULL, err);
}

rf_status rf_build_index_values(rf_build_index *build, uint32_t slot, rf_slice key,
                                const rf_value *values, rf_err *err)
{
    return add_entries(build, slot, key, NULL, values, err);
}

/* ---- a partition ---- */

static rf_status write_entries(const rf_build_index *build, rf_base_writer *writer,
                               struct entries *entries, uint32_t partition, rf_err *err)
{
    rf_bytes_reader in = rf_bytes_reader_of(rf_buf_slice(&entries->bytes));
    rf_slice *sorted = malloc((entries->count + 1) * sizeof *sorted);

    if (!sorted)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for an index",
                       build->definition->name);
    for (size_t i = 0; i < entries->count; i++)
        sorted[i] = rf_read_slice(&in, rf_read_u16(&in));
    RF_ASSERT(!in.failed && rf_bytes_left(&in) == 0);
    rf_slices_sort(sorted, entries->count);
    rf_status status = rf_base_part_begin(writer, partition, &entries->part, err);
    for (size_t i = 0; status == RF_OK && i < entries->count; i++)
        status = rf_block_builder_add(entries->blocks, sorted[i], RF_SLICE(""), err);
    if (status == RF_OK)
        status = rf_block_builder_flush(entries->blocks, err);
    if (status == RF_OK)
        status = rf_base_part_end(entries->part, err);
    free(sorted);
    return status;
}

rf_status rf_build_index_end(rf_build_index *build, uint32_t slot, uint32_t partition, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; build && status == RF_OK && i < build->definition->index_count; i++) {
        struct entries *entries = &build->entries[slot * build->definition->index_count + i];
        if (entries->count > 0)
            status = write_entries(build, build->writers[i], entries, partition, err);
        rf_buf_clear(&entries->bytes);
        entries->count = 0;
    }
    return status;
}

uint32_t rf_build_index_count(const rf_build_index *build)
{
    return build ? build->definition->index_count : 0;
}

rf_status rf_build_index_seal_file(rf_build_index *build, uint32_t index, rf_manifest *manifest,
                                   rf_err *err)
{
    RF_ASSERT(index < rf_build_index_count(build));
    const rf_definition_index *from = &build->definition->indexes[index];
    rf_manifest_index *out = &manifest->indexes[index];

    out->column_count = from->column_count;
    for (uint32_t k = 0; k < from->column_count; k++)
        out->columns[k] = from->columns[k];
    return rf_base_writer_seal_file(build->writers[index], 0, &out->file, err);
}
