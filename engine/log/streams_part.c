/* See streams_part.h. */
#include "log/streams_part.h"

#include <stdlib.h>

enum {
    MAGIC = 0x4e534652, /* "RFSN" */
    FORMAT = 2,
    AT_MAGIC = 0,
    AT_FORMAT = 4,
    AT_PARTITION = 6,
    AT_SIZE = 8,
    AT_ENTRIES = 12,
    AT_BLOCKS = 16,
    AT_NAMES_SIZE = 20,
    AT_FILTER_SIZE = 24,
    AT_PART = 28,
    AT_LAST = 32, /* and four zero bytes */
    AT_FILTER_CHECKSUM = 40,
    AT_CHECKSUM = 48, /* of the header before it, then of the index */
    HEADER_SIZE = 56,
    INDEX_ENTRY_SIZE = 16, /* block's offset u32, name's offset u32, checksum u64 */
    FILTER_BITS_A_NAME = 12,
    FILTER_BLOCK_SIZE = 32,
    SHARED_MAX = 255,
    /* What a part can grow to beyond its size by the last entry and its block. */
    PART_SIZE_MAX = 2 * RF_STREAMS_PART_SIZE,
};

void rf_streams_writer_init(rf_streams_writer *writer, uint32_t partition)
{
    RF_ASSERT(partition <= UINT16_MAX);
    *writer = (rf_streams_writer){.partition = partition};
    rf_buf_init(&writer->blocks, PART_SIZE_MAX);
    rf_buf_init(&writer->index, PART_SIZE_MAX);
    rf_buf_init(&writer->names, PART_SIZE_MAX);
    rf_buf_init(&writer->hashes, 2 * PART_SIZE_MAX);
}

void rf_streams_writer_free(rf_streams_writer *writer)
{
    rf_buf_free(&writer->blocks);
    rf_buf_free(&writer->index);
    rf_buf_free(&writer->names);
    rf_buf_free(&writer->hashes);
}

static size_t filter_size_of(size_t entries)
{
    size_t bits = entries * FILTER_BITS_A_NAME;
    size_t blocks = (bits + FILTER_BLOCK_SIZE * 8 - 1) / (FILTER_BLOCK_SIZE * 8);

    return blocks * FILTER_BLOCK_SIZE;
}

bool rf_streams_writer_full(const rf_streams_writer *writer)
{
    size_t size = writer->blocks.size + writer->index.size + writer->names.size +
                  filter_size_of(writer->entries);
    return size >= RF_STREAMS_PART_SIZE;
}

static void close_block(rf_streams_writer *writer)
{
    if (writer->block_count == 0 || writer->blocks.failed || writer->index.failed)
        return;
    rf_slice block = {writer->blocks.data + writer->block_start,
                      writer->blocks.size - writer->block_start};
    rf_store_u64(writer->index.data + writer->index.size - sizeof(uint64_t), rf_checksum(block));
}

static void open_block(rf_streams_writer *writer, rf_slice name)
{
    writer->block_start = writer->blocks.size;
    rf_buf_append_u32(&writer->index, (uint32_t)writer->block_start);
    rf_buf_append_u32(&writer->index, (uint32_t)writer->names.size);
    rf_buf_append_u64(&writer->index, 0);
    rf_buf_append_slice(&writer->names, name);
    writer->block_count++;
    writer->last_size = 0;
}

static uint32_t shared_size(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t most = a_size < b_size ? a_size : b_size;
    uint32_t shared = 0;

    if (most > SHARED_MAX)
        most = SHARED_MAX;
    while (shared + sizeof(uint64_t) <= most) {
        uint64_t differ = rf_load_u64(a + shared) ^ rf_load_u64(b + shared);
        if (differ)
            return shared + (uint32_t)__builtin_ctzll(differ) / 8;
        shared += (uint32_t)sizeof(uint64_t);
    }
    while (shared < most && a[shared] == b[shared])
        shared++;
    return shared;
}

static char *put_varint(char *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (char)(uint8_t)(value | 0x80);
    *at++ = (char)(uint8_t)value;
    return at;
}

void rf_streams_writer_add(rf_streams_writer *writer, rf_slice name, uint64_t hash, uint32_t number,
                           int64_t last_version)
{
    RF_ASSERT(name.size >= 1 && name.size <= RF_STREAM_NAME_SIZE_MAX);
    RF_ASSERT(last_version >= 0 || last_version == RF_VERSION_NONE);

    if (writer->block_count == 0 ||
        writer->blocks.size - writer->block_start >= RF_STREAMS_BLOCK_SIZE) {
        close_block(writer);
        open_block(writer, name);
    }
    uint32_t shared = shared_size(writer->last, writer->last_size, name.data, name.size);
    size_t rest = name.size - shared;
    char *start = rf_buf_reserve(&writer->blocks, 1 + RF_REST_HEAD_MAX + rest + 5 + 10);
    if (!start)
        return;
    char *at = start;
    *at++ = (char)(uint8_t)shared;
    at += rf_streams_rest_pack(name, shared, at);
    at = put_varint(at, number);
    at = put_varint(at, last_version == RF_VERSION_NONE ? 0 : (uint64_t)last_version + 1);
    writer->blocks.size += (size_t)(at - start);
    memcpy(writer->last + shared, name.data + shared, rest);
    writer->last_size = (uint32_t)name.size;
    writer->entries++;
    rf_buf_append_u64(&writer->hashes, hash);
}

static void fill_filter(char *filter, size_t filter_size, const rf_buf *hashes)
{
    memset(filter, 0, filter_size);
    for (size_t at = 0; at < hashes->size; at += sizeof(uint64_t)) {
        uint64_t hash = rf_load_u64(hashes->data + at);
        char *words = filter + rf_streams_filter_block(hash, filter_size);
        for (unsigned i = 0; i < 4; i++) {
            char *word = words + i * sizeof hash;
            rf_store_u64(word, rf_load_u64(word) | rf_streams_filter_mask(hash, i));
        }
    }
}

static uint64_t header_checksum(const char *part, size_t index_size)
{
    uint64_t of_header = rf_checksum((rf_slice){part, AT_CHECKSUM});
    return rf_checksum_seeded((rf_slice){part + HEADER_SIZE, index_size}, of_header);
}

static void writer_restart(rf_streams_writer *writer, uint32_t part)
{
    rf_buf_clear(&writer->blocks);
    rf_buf_clear(&writer->index);
    rf_buf_clear(&writer->names);
    rf_buf_clear(&writer->hashes);
    writer->part = part;
    writer->entries = 0;
    writer->block_count = 0;
    writer->block_start = 0;
    writer->last_size = 0;
}

rf_status rf_streams_writer_finish(rf_streams_writer *writer, bool last, rf_buf *out, rf_err *err)
{
    size_t filter_size = filter_size_of(writer->entries);
    size_t index_size = writer->index.size + writer->names.size;
    size_t size = HEADER_SIZE + index_size + filter_size + writer->blocks.size;

    RF_ASSERT(writer->entries > 0);
    close_block(writer);
    if (writer->blocks.failed || writer->index.failed || writer->names.failed ||
        writer->hashes.failed)
        return rf_fail(err, RF_ERR_MEMORY, "stream names of partition %u: out of memory",
                       writer->partition);
    char *part = rf_buf_reserve(out, size);
    if (!part)
        return rf_buf_check(out, "stream names of a commit", err);
    memset(part, 0, HEADER_SIZE);
    rf_store_u32(part + AT_MAGIC, MAGIC);
    rf_store_u16(part + AT_FORMAT, FORMAT);
    rf_store_u16(part + AT_PARTITION, (uint16_t)writer->partition);
    rf_store_u32(part + AT_SIZE, (uint32_t)size);
    rf_store_u32(part + AT_ENTRIES, writer->entries);
    rf_store_u32(part + AT_BLOCKS, writer->block_count);
    rf_store_u32(part + AT_NAMES_SIZE, (uint32_t)writer->names.size);
    rf_store_u32(part + AT_FILTER_SIZE, (uint32_t)filter_size);
    rf_store_u32(part + AT_PART, writer->part);
    rf_store_u32(part + AT_LAST, last);
    char *at = part + HEADER_SIZE;
    memcpy(at, writer->index.data, writer->index.size);
    at += writer->index.size;
    memcpy(at, writer->names.data, writer->names.size);
    at += writer->names.size;
    fill_filter(at, filter_size, &writer->hashes);
    rf_store_u64(part + AT_FILTER_CHECKSUM, rf_checksum((rf_slice){at, filter_size}));
    at += filter_size;
    memcpy(at, writer->blocks.data, writer->blocks.size);
    rf_store_u64(part + AT_CHECKSUM, header_checksum(part, index_size));
    out->size += size;
    writer_restart(writer, last ? 0 : writer->part + 1);
    return RF_OK;
}

size_t rf_streams_part_size(rf_slice bytes)
{
    if (bytes.size < HEADER_SIZE || rf_load_u32(bytes.data + AT_MAGIC) != MAGIC)
        return 0;
    size_t size = rf_load_u32(bytes.data + AT_SIZE);
    return size >= HEADER_SIZE && size <= bytes.size ? size : 0;
}

static uint32_t index_block_offset(const rf_streams_part *part, uint32_t block)
{
    return block == part->block_count ? part->blocks_size
                                      : rf_load_u32(part->index + (size_t)block * INDEX_ENTRY_SIZE);
}

static uint32_t index_name_offset(const rf_streams_part *part, uint32_t block)
{
    return block == part->block_count
               ? part->names_size
               : rf_load_u32(part->index + (size_t)block * INDEX_ENTRY_SIZE + sizeof(uint32_t));
}

/* Offsets that rise, and names of a legal size. */
static bool index_is_sound(const rf_streams_part *part)
{
    if (index_block_offset(part, 0) != 0 || index_name_offset(part, 0) != 0)
        return false;
    for (uint32_t i = 0; i < part->block_count; i++) {
        uint32_t name = index_name_offset(part, i);
        uint32_t name_end = index_name_offset(part, i + 1);
        uint32_t block = index_block_offset(part, i);
        uint32_t block_end = index_block_offset(part, i + 1);
        if (name_end <= name || name_end - name > RF_STREAM_NAME_SIZE_MAX ||
            name_end > part->names_size || block_end <= block || block_end > part->blocks_size)
            return false;
    }
    return true;
}

rf_status rf_streams_part_open(rf_slice bytes, uint32_t partition, bool checked,
                               rf_streams_part *part_out, rf_err *err)
{
    const char *at = bytes.data;

    if (rf_streams_part_size(bytes) != bytes.size)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "stream names of partition %u: %zu bytes that are no part of a run",
                       partition, bytes.size);
    if (rf_load_u16(at + AT_FORMAT) != FORMAT)
        return rf_fail(err, RF_ERR_FORMAT,
                       "stream names of partition %u: format %u, this refold reads %d", partition,
                       rf_load_u16(at + AT_FORMAT), FORMAT);
    uint64_t blocks = rf_load_u32(at + AT_BLOCKS);
    uint64_t names_size = rf_load_u32(at + AT_NAMES_SIZE);
    uint64_t filter_size = rf_load_u32(at + AT_FILTER_SIZE);
    uint64_t before_blocks = HEADER_SIZE + blocks * INDEX_ENTRY_SIZE + names_size + filter_size;
    if (blocks == 0 || filter_size == 0 || filter_size % FILTER_BLOCK_SIZE != 0 ||
        before_blocks > bytes.size || rf_load_u16(at + AT_PARTITION) != partition ||
        rf_load_u32(at + AT_ENTRIES) == 0)
        return rf_fail(err, RF_ERR_DAMAGED, "stream names of partition %u: a header that cannot be",
                       partition);

    rf_streams_part part = {
        .bytes = at,
        .index = at + HEADER_SIZE,
        .names = at + HEADER_SIZE + blocks * INDEX_ENTRY_SIZE,
        .filter = at + HEADER_SIZE + blocks * INDEX_ENTRY_SIZE + names_size,
        .blocks = at + before_blocks,
        .size = (uint32_t)bytes.size,
        .names_size = (uint32_t)names_size,
        .filter_size = (uint32_t)filter_size,
        .blocks_size = (uint32_t)(bytes.size - before_blocks),
        .entries = rf_load_u32(at + AT_ENTRIES),
        .block_count = (uint32_t)blocks,
        .part = rf_load_u32(at + AT_PART),
        .last = rf_load_u32(at + AT_LAST) != 0,
    };
    if (!checked) {
        size_t index_size = (size_t)(part.filter - part.index);
        if (header_checksum(at, index_size) != rf_load_u64(at + AT_CHECKSUM))
            return rf_fail(err, RF_ERR_DAMAGED,
                           "stream names of partition %u: wrong checksum of a header and index",
                           partition);
        if (!index_is_sound(&part))
            return rf_fail(err, RF_ERR_DAMAGED,
                           "stream names of partition %u: an index that cannot be", partition);
    }
    *part_out = part;
    return RF_OK;
}

static uint32_t partition_of(const rf_streams_part *part)
{
    return rf_load_u16(part->bytes + AT_PARTITION);
}

rf_status rf_streams_part_check_filter(const rf_streams_part *part, rf_err *err)
{
    uint64_t checksum = rf_checksum((rf_slice){part->filter, part->filter_size});

    if (checksum == rf_load_u64(part->bytes + AT_FILTER_CHECKSUM))
        return RF_OK;
    return rf_fail(err, RF_ERR_DAMAGED, "stream names of partition %u: wrong checksum of a filter",
                   partition_of(part));
}

rf_slice rf_streams_part_first(const rf_streams_part *part, uint32_t block)
{
    RF_ASSERT(block < part->block_count);
    uint32_t start = index_name_offset(part, block);
    return (rf_slice){part->names + start, index_name_offset(part, block + 1) - start};
}

static rf_slice block_entries(const rf_streams_part *part, uint32_t block)
{
    RF_ASSERT(block < part->block_count);
    uint32_t start = index_block_offset(part, block);
    return (rf_slice){part->blocks + start, index_block_offset(part, block + 1) - start};
}

rf_status rf_streams_part_block(const rf_streams_part *part, uint32_t block, rf_slice *entries_out,
                                rf_err *err)
{
    rf_slice entries = block_entries(part, block);
    uint64_t expected = rf_load_u64(part->index + (size_t)block * INDEX_ENTRY_SIZE + 8);

    if (rf_checksum(entries) != expected)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "stream names of partition %u: wrong checksum of block %u",
                       partition_of(part), block);
    *entries_out = entries;
    return RF_OK;
}

bool rf_streams_part_seek(const rf_streams_part *part, rf_slice name, uint32_t *block_out)
{
    uint32_t low = 0;
    uint32_t high = part->block_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (rf_slice_compare(rf_streams_part_first(part, middle), name) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return false;
    *block_out = low - 1;
    return true;
}

static rf_status entry_damaged(const rf_streams_part *part, uint32_t block, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED,
                   "stream names of partition %u: an entry of block %u that cannot be",
                   partition_of(part), block);
}

/* As rf_streams_part_block, for a block that is read again and again. */
static rf_status block_once(const rf_streams_part *part, uint32_t block, rf_streams_known *known,
                            rf_slice *entries_out, rf_err *err)
{
    uint64_t bit = known && block < 64 ? (uint64_t)1 << block : 0;

    if (bit && (known->checked & bit)) {
        *entries_out = block_entries(part, block);
        return RF_OK;
    }
    rf_status status = rf_streams_part_block(part, block, entries_out, err);
    if (!status && bit)
        known->checked |= bit;
    return status;
}

uint64_t rf_streams_order_key(rf_slice name, uint32_t shared)
{
    char bytes[8] = {0};
    size_t size = name.size - shared;

    memcpy(bytes, name.data + shared, size < sizeof bytes ? size : sizeof bytes);
    return __builtin_bswap64(rf_load_u64(bytes));
}

/* Names rise, so what the first and the last share is shared by all; nothing where it is not, or
 * without memory. */
static void keys_make(const rf_streams_part *part, rf_streams_known *known)
{
    rf_slice first = rf_streams_part_first(part, 0);
    rf_slice last = rf_streams_part_first(part, part->block_count - 1);
    uint32_t shared = 0;

    while (shared < first.size && shared < last.size && first.data[shared] == last.data[shared])
        shared++;
    known->keys = malloc(part->block_count * sizeof *known->keys);
    known->shared = shared;
    for (uint32_t i = 0; known->keys && i < part->block_count; i++) {
        rf_slice name = rf_streams_part_first(part, i);
        if (name.size < shared) {
            free(known->keys);
            known->keys = NULL;
            return;
        }
        known->keys[i] = rf_streams_order_key(name, shared);
    }
}

/* As rf_streams_part_seek, by the keys of a part that was asked some times: the first names lie
 * scattered. Where keys do not tell, the names do. */
static bool seek_known(const rf_streams_part *part, rf_slice name, rf_streams_known *known,
                       uint32_t *block_out)
{
    enum { ASKED_MIN = 16 };

    if (!known || ++known->asked < ASKED_MIN)
        return rf_streams_part_seek(part, name, block_out);
    if (!known->keys)
        keys_make(part, known);
    if (!known->keys || name.size < known->shared ||
        memcmp(name.data, rf_streams_part_first(part, 0).data, known->shared) != 0)
        return rf_streams_part_seek(part, name, block_out);
    uint64_t key = rf_streams_order_key(name, known->shared);
    uint32_t low = 0;
    uint32_t count = part->block_count;
    while (count > 0) { /* keys before `low` are not above, those from low + count on are */
        uint32_t half = count / 2;
        bool above = known->keys[low + half] > key;
        low = above ? low : low + half + 1;
        count = above ? half : count - half - 1;
    }
    if (low == 0)
        return false;
    if (known->keys[low - 1] == key)
        return rf_streams_part_seek(part, name, block_out);
    *block_out = low - 1;
    return true;
}

/* How many bytes two texts begin with alike. */
static size_t bytes_alike(rf_slice a, rf_slice b)
{
    size_t most = a.size < b.size ? a.size : b.size;
    size_t alike = 0;

    while (alike < most && a.data[alike] == b.data[alike])
        alike++;
    return alike;
}

/* Names are not put together: what an entry shares with the one before says whether it can be it.
 */
rf_status rf_streams_part_find(const rf_streams_part *part, rf_slice name, rf_streams_known *known,
                               uint32_t *number_out, int64_t *last_version_out, bool *found_out,
                               rf_err *err)
{
    uint32_t block = 0;
    rf_slice entries;
    rf_streams_entry entry = {0};
    size_t begun = 0; /* bytes with which the entry's name begins as `name` does */

    if (!seek_known(part, name, known, &block)) {
        *found_out = false;
        return RF_OK;
    }
    rf_status status = block_once(part, block, known, &entries, err);
    if (status != RF_OK)
        return status;
    const char *at = entries.data;
    const char *end = at + entries.size;
    while (at < end) {
        uint32_t shared;
        rf_streams_rest rest;
        char unpacked[RF_REST_HEX_MAX + RF_STREAMS_COPY_STEP];
        if (!rf_streams_entry_next(&at, end, &entry, &shared, &rest))
            return entry_damaged(part, block, err);
        if (shared > begun) /* it differs where the one before did */
            continue;
        rf_slice text = {rest.stored, rest.size};
        if (!rf_streams_rest_is_plain(&rest)) {
            rf_streams_rest_unpack(&rest, unpacked);
            text.data = unpacked;
        }
        begun = shared + bytes_alike(text, (rf_slice){name.data + shared, name.size - shared});
        if (begun == name.size && entry.name_size == name.size) {
            *number_out = entry.number;
            *last_version_out = entry.last_version;
            *found_out = true;
            return RF_OK;
        }
    }
    *found_out = false;
    return RF_OK;
}

rf_status rf_streams_part_last_name(const rf_streams_part *part,
                                    char name_out[RF_STREAMS_NAME_BUFFER], uint32_t *size_out,
                                    rf_err *err)
{
    rf_slice entries;
    rf_streams_entry entry = {0};

    rf_status status = rf_streams_part_block(part, part->block_count - 1, &entries, err);
    if (status != RF_OK)
        return status;
    const char *at = entries.data;
    while (at < entries.data + entries.size) {
        if (!rf_streams_entry_read(&at, entries.data + entries.size, name_out, name_out, &entry))
            return entry_damaged(part, part->block_count - 1, err);
    }
    *size_out = entry.name_size;
    return RF_OK;
}
