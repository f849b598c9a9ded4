/* See census.h: the census as the table has it, one record a (type, schema); docs/FORMAT.md has
 * every byte.
 *
 * A record is the totals and the two trees in pre-order, children by name, and a checksum over key
 * and value. So equal censuses are stored as equal bytes.
 */
#include "base/checksum.h"
#include "event/value.h"
#include "log/census_types.h"

#include <stdlib.h>

enum {
    FORMAT = 1,
    FLAG_CAPPED = 1,
    NODE_CAPPED = 0x80, /* beside a bit for each kind that occurred */
    KEY_SIZE_MAX = RF_TYPE_SIZE_MAX + 1 + 8,
    RECORD_BYTES_MAX = 256 << 20, /* 1,024 names of a few events' size */
};

/* Sorts by type, then schema: the type, a NUL, the schema big-endian with its sign turned. */
static rf_slice record_key(char key_out[KEY_SIZE_MAX], rf_slice type, int64_t schema)
{
    RF_ASSERT(type.size <= RF_TYPE_SIZE_MAX);
    memcpy(key_out, type.data, type.size);
    key_out[type.size] = '\0';
    rf_store_u64_be(key_out + type.size + 1, (uint64_t)schema ^ (uint64_t)1 << 63);
    return (rf_slice){key_out, type.size + 1 + 8};
}

static uint64_t record_checksum(rf_slice key, rf_slice value)
{
    return rf_checksum_seeded(value, rf_checksum(key));
}

static int compare_names(const void *a, const void *b, void *arg)
{
    const rf_census_forest *forest = arg;
    return rf_slice_compare(forest->nodes[*(const uint32_t *)a].name,
                            forest->nodes[*(const uint32_t *)b].name);
}

static void encode_node(rf_census_forest *forest, uint32_t at, rf_buf *out)
{
    const rf_census_node *node = &forest->nodes[at];
    uint32_t children[RF_SEGMENT_MEMBERS_MAX];
    uint8_t mask = node->capped ? NODE_CAPPED : 0;
    uint32_t count = 0;

    for (unsigned kind = 0; kind < RF_CENSUS_KIND_COUNT; kind++)
        mask |= (uint8_t)((node->counts[kind] > 0) << kind);
    rf_buf_append_varint(out, node->name.size);
    rf_buf_append_slice(out, node->name);
    rf_buf_append_byte(out, mask);
    for (unsigned kind = 0; kind < RF_CENSUS_KIND_COUNT; kind++) {
        if (node->counts[kind] > 0)
            rf_buf_append_varint(out, node->counts[kind]);
    }
    for (uint32_t child = node->first_child; child; child = forest->nodes[child].next) {
        RF_ASSERT(count < RF_SEGMENT_MEMBERS_MAX);
        children[count++] = child;
    }
    qsort_r(children, count, sizeof *children, compare_names, forest);
    rf_buf_append_varint(out, count);
    for (uint32_t i = 0; i < count; i++)
        encode_node(forest, children[i], out);
}

static void encode_record(rf_census *census, const rf_census_entry *entry, rf_slice key,
                          rf_buf *out)
{
    rf_buf_append_byte(out, FORMAT);
    rf_buf_append_byte(out, entry->tree.capped ? FLAG_CAPPED : 0);
    rf_buf_append_byte(out, entry->tree.depth_max);
    rf_buf_append_varint(out, entry->events);
    rf_buf_append_varint(out, entry->first_position);
    rf_buf_append_varint(out, entry->last_position);
    rf_buf_append_u64(out, (uint64_t)entry->time_min);
    rf_buf_append_u64(out, (uint64_t)entry->time_max);
    for (unsigned root = 0; root < RF_CENSUS_ROOTS; root++)
        encode_node(&census->forest, entry->tree.roots[root], out);
    rf_buf_append_u64(out, record_checksum(key, rf_buf_slice(out)));
}

static rf_status record_damaged(rf_slice type, int64_t schema, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED, "census of type %.*s, schema %lld: a record that cannot be",
                   (int)type.size, type.data, (long long)schema);
}

/* Reads a node's counts and children into `at`. Sets reader->failed where the bytes make no node.
 */
static rf_status decode_node(rf_census *census, rf_census_entry *entry, uint32_t at,
                             rf_bytes_reader *reader, rf_err *err)
{
    rf_census_forest *forest = &census->forest;
    uint8_t mask = rf_read_byte(reader);

    for (unsigned kind = 0; kind < RF_CENSUS_KIND_COUNT; kind++) {
        if (mask >> kind & 1)
            forest->nodes[at].counts[kind] = rf_read_varint(reader);
    }
    forest->nodes[at].capped = (mask & NODE_CAPPED) != 0;
    uint64_t count = rf_read_varint(reader);
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        uint32_t child = 0;
        uint64_t size = rf_read_varint(reader);
        rf_slice name = rf_read_slice(reader, size);
        if (reader->failed)
            break;
        rf_status status = rf_census_tree_child(forest, &entry->tree, at, name, &child, err);
        if (status != RF_OK)
            return status;
        if (!child) {
            reader->failed = true; /* beyond the caps: this was not written by us */
            break;
        }
        status = decode_node(census, entry, child, reader, err);
        if (status != RF_OK)
            return status;
    }
    return RF_OK;
}

/* Into `census`, which does not have the (type, schema) yet. */
static rf_status decode_record(rf_census *census, rf_slice key, rf_slice value, rf_err *err)
{
    rf_census_entry *entry;

    if (key.size < 1 + 1 + 8 || key.size > KEY_SIZE_MAX || key.data[key.size - 9] != '\0' ||
        value.size < sizeof(uint64_t))
        return rf_fail(err, RF_ERR_DAMAGED, "census: a key of %zu bytes that cannot be", key.size);
    rf_slice type = {key.data, key.size - 9};
    int64_t schema = (int64_t)(rf_load_u64_be(key.data + key.size - 8) ^ (uint64_t)1 << 63);
    rf_slice body = {value.data, value.size - sizeof(uint64_t)};
    if (record_checksum(key, body) != rf_load_u64(body.data + body.size))
        return rf_fail(err, RF_ERR_DAMAGED, "census of type %.*s, schema %lld: wrong checksum",
                       (int)type.size, type.data, (long long)schema);
    rf_bytes_reader reader = rf_bytes_reader_of(body);
    uint8_t format = rf_read_byte(&reader);
    if (format != FORMAT)
        return rf_fail(err, RF_ERR_FORMAT,
                       "census of type %.*s, schema %lld: format %u, this refold reads %d",
                       (int)type.size, type.data, (long long)schema, format, FORMAT);
    rf_status status = rf_census_entry_find(census, type, schema, &entry, err);
    if (status != RF_OK)
        return status;
    bool capped = (rf_read_byte(&reader) & FLAG_CAPPED) != 0;
    uint8_t depth_max = rf_read_byte(&reader);
    entry->events = rf_read_varint(&reader);
    entry->first_position = rf_read_varint(&reader);
    entry->last_position = rf_read_varint(&reader);
    entry->time_min = (int64_t)rf_read_u64(&reader);
    entry->time_max = (int64_t)rf_read_u64(&reader);
    if (depth_max < 1 || depth_max > RF_SEGMENT_DEPTH_MAX)
        return record_damaged(type, schema, err);
    entry->tree.depth_max = depth_max;
    for (unsigned root = 0; root < RF_CENSUS_ROOTS && !reader.failed; root++) {
        (void)rf_read_slice(&reader, rf_read_varint(&reader));
        status = decode_node(census, entry, entry->tree.roots[root], &reader, err);
        if (status != RF_OK)
            return status;
    }
    if (reader.failed || rf_bytes_left(&reader) > 0)
        return record_damaged(type, schema, err);
    entry->tree.capped = capped;
    return RF_OK;
}

rf_status rf_census_load(rf_kv_txn *txn, uint32_t table, rf_census *census_out, rf_err *err)
{
    rf_kv_cursor *cursor = NULL;
    rf_slice key = {"", 0};
    rf_slice value;
    bool found = false;

    rf_census_clear(census_out);
    rf_status status = rf_kv_cursor_open(txn, table, &cursor, err);
    if (status != RF_OK)
        return status;
    status = rf_kv_cursor_seek(cursor, RF_KV_FIRST, key, &key, &value, &found, err);
    while (status == RF_OK && found) {
        status = decode_record(census_out, key, value, err);
        if (status == RF_OK)
            status = rf_kv_cursor_seek(cursor, RF_KV_NEXT, key, &key, &value, &found, err);
    }
    rf_kv_cursor_close(cursor);
    if (status != RF_OK)
        rf_census_clear(census_out);
    return status;
}

/* Adds one entry of `changes` to what is stored; `merged` is scratch. */
static rf_status store_entry(rf_kv_txn *txn, uint32_t table, const rf_census *changes,
                             const rf_census_entry *entry, rf_census *merged, rf_buf *record,
                             rf_err *err)
{
    char key_bytes[KEY_SIZE_MAX];
    rf_slice key = record_key(key_bytes, entry->type, entry->schema);
    rf_slice value;
    bool found = false;

    rf_census_clear(merged);
    rf_status status = rf_kv_get(txn, table, key, &value, &found, err);
    if (status == RF_OK && found)
        status = decode_record(merged, key, value, err);
    if (status == RF_OK)
        status = rf_census_entry_add(merged, changes, entry, err);
    if (status != RF_OK)
        return status;
    rf_buf_clear(record);
    encode_record(merged, &merged->entries[0], key, record);
    status = rf_buf_check(record, "census: record of a type", err);
    if (status != RF_OK)
        return status;
    return rf_kv_put(txn, table, key, rf_buf_slice(record), err);
}

rf_status rf_census_store(rf_kv_txn *txn, uint32_t table, const rf_census *changes, rf_err *err)
{
    rf_buf record;
    rf_status status = RF_OK;
    rf_census *merged = rf_census_new();

    if (!merged)
        return rf_fail(err, RF_ERR_MEMORY, "census: out of memory");
    rf_buf_init(&record, RECORD_BYTES_MAX);
    for (uint32_t i = 0; i < changes->count && status == RF_OK; i++)
        status = store_entry(txn, table, changes, &changes->entries[i], merged, &record, err);
    rf_buf_free(&record);
    rf_census_free(merged);
    return status;
}
