/* Fuzz target of stream names: any bytes as the block of a part give entries or one error, each name
 * packs into bytes that give it back, and a search says the same as the walk.
 *
 * The first byte is the size of the name that is sought, which follows; the rest is the block.
 */
#include "log/streams_part.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_pack(rf_slice name, uint32_t shared)
{
    char packed[RF_REST_HEAD_MAX + RF_STREAM_NAME_SIZE_MAX];
    char back[RF_STREAMS_NAME_BUFFER];
    rf_streams_rest rest;
    const char *at = packed;

    size_t size = rf_streams_rest_pack(name, shared, packed);
    RF_ASSERT(rf_streams_rest_read(&at, packed + size, &rest) && at == packed + size);
    memcpy(back, name.data, shared);
    rf_streams_rest_write(&rest, at, back, shared);
    RF_ASSERT(memcmp(back, name.data, name.size) == 0);
}

/* Walks the block; whether names rise and the block is whole. */
static bool walk(rf_slice block, rf_slice sought, bool *found_out)
{
    const char *at = block.data;
    char name[RF_STREAMS_NAME_BUFFER] = {0};
    char before[RF_STREAMS_NAME_BUFFER];
    rf_streams_entry entry = {0};
    bool rising = true;

    while (at < block.data + block.size) {
        rf_slice previous = {before, entry.name_size};
        memcpy(before, name, entry.name_size);
        if (!rf_streams_entry_read(&at, block.data + block.size, name, name, &entry))
            return false;
        rf_slice now = {name, entry.name_size};
        uint32_t shared = 0;
        while (shared < previous.size && shared < now.size && before[shared] == name[shared])
            shared++;
        rising = rising && rf_slice_compare(previous, now) < 0;
        *found_out |= rf_slice_equal(now, sought);
        check_pack(now, shared);
    }
    return rising;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    rf_streams_known known = {0};
    char index[16] = {0};
    uint32_t number;
    int64_t version;
    bool walked = false;
    bool found = false;
    rf_err err;

    if (size < 3 || size < 2u + data[0] || data[0] == 0)
        return 0;
    rf_slice sought = {bytes + 1, data[0]};
    rf_slice block = {bytes + 1 + data[0], size - 1 - data[0]};
    rf_store_u64(index + 8, rf_checksum(block));
    /* The block is said to begin with the name that is sought, so that it is searched. */
    const rf_streams_part part = {
        .bytes = index,
        .index = index,
        .names = sought.data,
        .names_size = (uint32_t)sought.size,
        .blocks = block.data,
        .blocks_size = (uint32_t)block.size,
        .entries = 1,
        .block_count = 1,
    };
    bool is_whole = walk(block, sought, &walked);
    rf_status status =
        rf_streams_part_find(&part, sought, &known, &number, &version, &found, &err);
    if (is_whole)
        RF_ASSERT(status == RF_OK && found == walked);
    free(known.keys);
    return 0;
}
