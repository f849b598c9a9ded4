/* See export_state.h. The bytes: magic u32, 1 if the rest is compressed u8, size of the rest as it is read u32; the rest:
 * digest of the base (low u64, high u64, rows u64), then for each entry the size of its key as a varint, the key, and 0
 * where the row is gone, else 1 and the hash u64; at the end a checksum u64 of all before it. */
#include "export_state.h"

#include "base/checksum.h"
#include "base/codec.h"

#include <stdlib.h>

enum {
    MAGIC = 0x31736672, /* "rfs1" */
    HEAD_SIZE = 9,
    HASH_SIZE = 8,
    LEVEL = 1,
    PLAIN_BYTES_MAX = 32 << 20,
    BYTES_MAX = 8 << 20, /* what a server is given to keep with each pointer */
};

static uint64_t hash_of(rf_slice key, rf_slice row)
{
    rf_digest digest = {0};
    rf_digest_add_row(&digest, key, row);
    return digest.low;
}

/* ---- writing ---- */

static void add_entries(const rf_diff_side *side, rf_buf *plain)
{
    const rf_manifest *manifest = &side->pinned.manifest;

    rf_buf_append_u64(plain, manifest->digest.low);
    rf_buf_append_u64(plain, manifest->digest.high);
    rf_buf_append_u64(plain, manifest->rows);
    for (uint32_t i = 0; i < side->delta.count; i++) {
        const rf_delta_entry *entry = &side->delta.entries[i];
        rf_buf_append_varint(plain, entry->key.size);
        rf_buf_append_slice(plain, entry->key);
        rf_buf_append_byte(plain, entry->row.data != NULL);
        if (entry->row.data)
            rf_buf_append_u64(plain, hash_of(entry->key, entry->row));
    }
}

static rf_status pack(rf_slice plain, rf_buf *out, rf_err *err)
{
    rf_codec *codec = rf_codec_new();
    bool compressed = false;

    if (!codec)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a note of what is published");
    rf_buf_append_u32(out, MAGIC);
    rf_buf_append_byte(out, 0);
    rf_buf_append_u32(out, (uint32_t)plain.size);
    rf_status status = rf_codec_compress(codec, plain, LEVEL, out, &compressed, err);
    rf_codec_free(codec);
    if (status != RF_OK)
        return status;
    out->data[4] = compressed;
    rf_buf_append_u64(out, rf_checksum(rf_buf_slice(out)));
    return rf_buf_check(out, "a note of what is published", err);
}

rf_status rf_export_state_write(const rf_diff_side *side, rf_buf *out, rf_err *err)
{
    rf_buf plain;
    rf_status status = RF_OK;

    rf_buf_free(out);
    rf_buf_init(out, (size_t)2 * PLAIN_BYTES_MAX); /* a compressor asks for room beforehand */
    rf_buf_init(&plain, PLAIN_BYTES_MAX);
    add_entries(side, &plain);
    if (!plain.failed)
        status = pack(rf_buf_slice(&plain), out, err);
    if (plain.failed || out->size > BYTES_MAX || status != RF_OK)
        rf_buf_clear(out);
    rf_buf_free(&plain);
    return status;
}

/* ---- reading ---- */

static rf_status not_a_note(rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED, "what was noted of the published rows does not hold");
}

/* *plain_out: owned by the caller. */
static rf_status unpack(rf_slice bytes, char **plain_out, size_t *size_out, rf_err *err)
{
    size_t sum_at = bytes.size - HASH_SIZE;

    if (bytes.size < HEAD_SIZE + HASH_SIZE || rf_load_u32(bytes.data) != MAGIC ||
        rf_load_u64(bytes.data + sum_at) != rf_checksum((rf_slice){bytes.data, sum_at}))
        return not_a_note(err);
    rf_slice rest = {bytes.data + HEAD_SIZE, sum_at - HEAD_SIZE};
    size_t size = rf_load_u32(bytes.data + 5);
    if (size > PLAIN_BYTES_MAX || bytes.data[4] < 0 || bytes.data[4] > 1 ||
        (bytes.data[4] == 0 && size != rest.size))
        return not_a_note(err);
    char *plain = malloc(size + 1);
    rf_codec *codec = rf_codec_new();
    rf_status status = plain && codec ? RF_OK : rf_fail(err, RF_ERR_MEMORY, "out of memory for a note");
    if (status == RF_OK && bytes.data[4] == 1)
        status = rf_codec_decompress(codec, rest, plain, size, err);
    else if (status == RF_OK)
        memcpy(plain, rest.data, size);
    rf_codec_free(codec);
    if (status != RF_OK) {
        free(plain);
        return status;
    }
    *plain_out = plain;
    *size_out = size;
    return RF_OK;
}

static rf_status add_entry(rf_delta_part *delta, const rf_delta_entry *entry, rf_err *err)
{
    if (delta->count == delta->capacity) {
        uint32_t capacity = delta->capacity ? 2 * delta->capacity : 64;
        rf_delta_entry *entries = realloc(delta->entries, capacity * sizeof *entries);
        if (!entries)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for a note");
        delta->entries = entries;
        delta->capacity = capacity;
    }
    rf_delta_entry copy = {.key = rf_arena_copy(&delta->memory, entry->key)};
    if (entry->row.data)
        copy.row = rf_arena_copy(&delta->memory, entry->row);
    if (!copy.key.data || (entry->row.data && !copy.row.data))
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a note");
    delta->entries[delta->count++] = copy;
    return RF_OK;
}

static rf_status take_entries(rf_bytes_reader *reader, rf_delta_part *delta, rf_err *err)
{
    while (reader->at < reader->end) {
        rf_delta_entry entry = {.key = rf_read_slice(reader, rf_read_varint(reader))};
        if (rf_read_byte(reader) != 0)
            entry.row = rf_read_slice(reader, HASH_SIZE);
        if (reader->failed || entry.key.size > RF_KEY_BYTES_MAX ||
            (delta->count > 0 &&
             rf_slice_compare(delta->entries[delta->count - 1].key, entry.key) >= 0))
            return not_a_note(err);
        rf_status status = add_entry(delta, &entry, err);
        if (status != RF_OK)
            return status;
    }
    return RF_OK;
}

rf_status rf_export_state_read(rf_slice bytes, uint32_t partitions, rf_digest *base_out,
                               rf_delta_part *delta_out, rf_err *err)
{
    rf_delta_part delta = {0};
    rf_digest base = {0};
    char *plain = NULL;
    size_t size = 0;

    rf_status status = unpack(bytes, &plain, &size, err);
    if (status != RF_OK)
        return status;
    rf_arena_init(&delta.memory, (size_t)4 * PLAIN_BYTES_MAX);
    rf_bytes_reader reader = rf_bytes_reader_of((rf_slice){plain, size});
    base.low = rf_read_u64(&reader);
    base.high = rf_read_u64(&reader);
    base.rows = rf_read_u64(&reader);
    status = reader.failed ? not_a_note(err) : take_entries(&reader, &delta, err);
    free(plain);
    if (status == RF_OK)
        status = rf_delta_split(&delta, partitions, err);
    if (status != RF_OK) {
        rf_delta_part_free(&delta);
        return status;
    }
    *base_out = base;
    *delta_out = delta;
    return RF_OK;
}

bool rf_export_state_has(const rf_delta_part *delta, rf_slice key, rf_slice row)
{
    uint32_t at = rf_delta_seek(delta, key);

    if (at == delta->count || !rf_slice_equal(delta->entries[at].key, key))
        return false;
    const rf_slice noted = delta->entries[at].row;
    return noted.data && row.data ? rf_load_u64(noted.data) == hash_of(key, row) : !noted.data && !row.data;
}
