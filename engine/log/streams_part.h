/* A part of a run: stream names in order with their numbers and last versions, in checksummed
 * blocks.
 *
 * A run is one or more parts, each of about RF_STREAMS_PART_SIZE bytes at most, with rising names.
 * A part is a header, an index (offset, checksum and first name of each block), a filter and blocks
 * of front-coded entries; docs/FORMAT.md has every byte. Header and index share a checksum that is
 * verified by open; the filter's by rf_streams_part_check_filter; a block's by whoever reads the
 * block.
 *
 * The filter is a blocked Bloom filter: the hash of a name picks 32 bytes and two bits in each of
 * their four words, so a lookup touches one cache line; 12 bits a name give about 0.5 % false
 * answers.
 *
 * Writer: init, then (add …, finish) again and again, free. Confined to one thread. A part is a
 * read-only view of stored bytes, valid as long as they are.
 */
#ifndef RF_LOG_STREAMS_PART_H
#define RF_LOG_STREAMS_PART_H

#include "base/bytes.h"
#include "base/checksum.h"
#include "event/event.h"
#include "log/streams_pack.h"

enum {
    RF_STREAMS_PART_SIZE = 64 << 10, /* no more, so that what a merge frees has room for others */
    RF_STREAMS_BLOCK_SIZE = 1024, /* a block is closed once it has as much */
    RF_STREAMS_COPY_STEP = 16,    /* names are copied in steps: buffers have as much behind them */
    RF_STREAMS_NAME_BUFFER = RF_STREAM_NAME_SIZE_MAX + RF_STREAMS_COPY_STEP,
};

typedef struct rf_streams_writer {
    rf_buf blocks;
    rf_buf index;  /* 16 bytes a block; the open block's lacks its checksum */
    rf_buf names;  /* first names of the blocks */
    rf_buf hashes; /* u64 each */
    uint32_t partition;
    uint32_t part; /* number of the part in its run */
    uint32_t entries;
    uint32_t block_count;
    size_t block_start;
    uint32_t last_size;
    char last[RF_STREAMS_NAME_BUFFER]; /* the previous name of the open block */
} rf_streams_writer;

void rf_streams_writer_init(rf_streams_writer *writer, uint32_t partition);
void rf_streams_writer_free(rf_streams_writer *writer);
/* Whether the part has its size: finish before the next add. */
bool rf_streams_writer_full(const rf_streams_writer *writer);
/* Names must rise over the whole run. */
void rf_streams_writer_add(rf_streams_writer *writer, rf_slice name, uint64_t hash, uint32_t number,
                           int64_t last_version);
/* Appends the part (of at least one entry) to `out` and begins the next one of the run; after the
 * `last`, the first of another run. */
rf_status rf_streams_writer_finish(rf_streams_writer *writer, bool last, rf_buf *out, rf_err *err);

typedef struct rf_streams_part {
    const char *bytes;
    const char *index;
    const char *names;
    const char *filter;
    const char *blocks;
    uint32_t size;
    uint32_t names_size;
    uint32_t filter_size;
    uint32_t blocks_size;
    uint32_t entries;
    uint32_t block_count;
    uint32_t part; /* its number in the run */
    bool last;     /* no part follows in the run */
} rf_streams_part;

/* Bytes of the part that `bytes` begins with (a run of several parts as the writer left it); 0 if
 * they are no part. */
size_t rf_streams_part_size(rf_slice bytes);
/* Checks header and index, unless the caller did that before with the same bytes (`checked`). */
rf_status rf_streams_part_open(rf_slice bytes, uint32_t partition, bool checked,
                               rf_streams_part *part_out, rf_err *err);
rf_status rf_streams_part_check_filter(const rf_streams_part *part, rf_err *err);
/* First name of a block. */
rf_slice rf_streams_part_first(const rf_streams_part *part, uint32_t block);
/* The eight bytes of a name behind `shared` ones, zeros behind its end: names have no NUL, so of two names
 * that begin with the same `shared` bytes one with a smaller key is smaller. */
uint64_t rf_streams_order_key(rf_slice name, uint32_t shared);
/* A block's entries, its checksum verified. */
rf_status rf_streams_part_block(const rf_streams_part *part, uint32_t block, rf_slice *entries_out,
                                rf_err *err);
/* The last block whose first name is not greater than `name`; false if `name` is before all. */
bool rf_streams_part_seek(const rf_streams_part *part, rf_slice name, uint32_t *block_out);
/* What is kept of a part that names are looked for in again and again. */
typedef struct rf_streams_known {
    uint64_t checked; /* a bit for each of the first 64 blocks whose checksum was right */
    uint64_t *keys;   /* owned; of each block the bytes of its first name behind the shared ones */
    uint32_t shared;  /* bytes with which the first names of all blocks begin */
    uint32_t asked;
} rf_streams_known;
/* *found_out false if the part does not have the name. Does not ask the filter. `known` (NULL:
 * none) begins as zeros and stays with these bytes; the caller frees its keys. */
rf_status rf_streams_part_find(const rf_streams_part *part, rf_slice name, rf_streams_known *known,
                               uint32_t *number_out, int64_t *last_version_out, bool *found_out,
                               rf_err *err);
/* The last name, for `name_out`; the size is returned through *size_out. */
rf_status rf_streams_part_last_name(const rf_streams_part *part,
                                    char name_out[RF_STREAMS_NAME_BUFFER], uint32_t *size_out,
                                    rf_err *err);

/* What a name sets in word 0 to 3 of its filter block. */
static inline uint64_t rf_streams_filter_mask(uint64_t hash, unsigned word)
{
    uint64_t bits = (hash * 0x9e3779b97f4a7c15u) >> (16 + 12 * word);

    return (uint64_t)1 << (bits & 63) | (uint64_t)1 << (bits >> 6 & 63);
}

/* Offset of a name's block in a filter. */
static inline size_t rf_streams_filter_block(uint64_t hash, size_t filter_size)
{
    return ((hash >> 32) * (filter_size / 32) >> 32) * 32;
}

/* Asks for the memory that the next call looks at. */
static inline void rf_streams_part_prefetch(const rf_streams_part *part, uint64_t hash)
{
    __builtin_prefetch(part->filter + rf_streams_filter_block(hash, part->filter_size));
}

/* False: the part does not have a name of this hash. */
static inline bool rf_streams_part_may_have(const rf_streams_part *part, uint64_t hash)
{
    const char *words = part->filter + rf_streams_filter_block(hash, part->filter_size);
    uint64_t missing = 0;

    for (unsigned i = 0; i < 4; i++)
        missing |= rf_streams_filter_mask(hash, i) & ~rf_load_u64(words + i * sizeof missing);
    return missing == 0;
}

/* One decoded entry; `name` is kept from one to the next, because entries share beginnings. */
typedef struct rf_streams_entry {
    int64_t last_version;
    uint32_t number;
    uint32_t name_size;
} rf_streams_entry;

/* A varint of 35 bits at most. Processors cannot guess how many bytes the next one has, so where
 * there are eight to be read it takes no branch. False where there is none. */
static inline bool rf_streams_number_read(const char **at, const char *end, uint64_t *number_out)
{
    uint64_t number = 0;

    if (end - *at >= 8) {
        uint64_t bytes = rf_load_u64(*at);
        uint64_t ends = ~bytes & 0x8080808080u; /* the lowest is that of the last byte */
        uint64_t bits = bytes & (ends ^ (ends - 1)) & 0x7f7f7f7f7fu;
        if (ends == 0)
            return false;
        *number_out = (bits & 0x7f) | (bits >> 1 & 0x3f80) | (bits >> 2 & 0x1fc000) |
                      (bits >> 3 & 0xfe00000) | (bits >> 4 & 0x7f0000000u);
        *at += (__builtin_ctzll(ends) + 1) / 8;
        return true;
    }
    for (unsigned shift = 0;; shift += 7) {
        if (*at >= end || shift > 28)
            return false;
        uint8_t byte = (uint8_t)*(*at)++;
        number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    *number_out = number;
    return true;
}

/* rf_streams_entry_next, of an entry that may be any. */
static inline bool rf_streams_entry_any(const char **at, const char *end, rf_streams_entry *entry,
                                         uint32_t *shared_out, rf_streams_rest *rest_out)
{
    const char *next = *at;
    uint64_t number;

    if (end - *at < 4)
        return false;
    *shared_out = (uint8_t)*next++;
    if (!rf_streams_rest_read(&next, end, rest_out) || *shared_out > entry->name_size ||
        *shared_out + rest_out->size > RF_STREAM_NAME_SIZE_MAX)
        return false;
    if (!rf_streams_number_read(&next, end, &number) || next >= end || number > UINT32_MAX)
        return false;
    uint64_t version = (uint8_t)*next;
    if (version < 0x80) {
        next++;
    } else {
        rf_bytes_reader reader = {next, end, false};
        version = rf_read_varint(&reader);
        next = reader.at;
        if (reader.failed || version > (uint64_t)INT64_MAX + 1)
            return false;
    }
    /* Stored as one more, so that "none" is 0. */
    entry->last_version = version == 0 ? RF_VERSION_NONE : (int64_t)(version - 1);
    entry->number = (uint32_t)number;
    entry->name_size = *shared_out + (uint32_t)rest_out->size;
    *at = next;
    return true;
}

/* What most entries are: a short rest, a number of four bytes at most, a version of one. */
typedef struct rf_streams_usual {
    rf_streams_form sizes;
    uint32_t shared;
    uint32_t number;
    uint32_t size; /* stored */
    uint8_t version; /* as it is stored */
} rf_streams_usual;
enum {
    RF_ENTRY_HEAD = 2, /* shared and form */
    RF_ENTRY_USUAL = 64, /* bytes that are left in the block */
};

/* False: the entry is not such a one, or there is none. Half of the instructions of any entry's. */
static inline bool rf_streams_usual_read(const char *at, const char *end, uint32_t previous_size,
                                         rf_streams_usual *entry_out)
{
    enum { BEHIND = 8 };

    if (end - at < RF_ENTRY_USUAL)
        return false;
    const rf_streams_form sizes = rf_streams_forms[(uint8_t)at[1]];
    uint32_t shared = (uint8_t)at[0];
    if (sizes.stored_size > RF_ENTRY_USUAL - RF_ENTRY_HEAD - BEHIND || shared > previous_size)
        return false;
    const char *next = at + RF_ENTRY_HEAD + sizes.stored_size;
    uint64_t bytes = rf_load_u64(next);
    uint32_t ends = ~(uint32_t)bytes & 0x80808080u; /* the lowest is that of the number's last byte */
    if (ends == 0)
        return false;
    uint32_t bits = (uint32_t)bytes & (ends ^ (ends - 1)) & 0x7f7f7f7fu;
    uint32_t size = ((uint32_t)__builtin_ctz(ends) + 1) / 8;
    uint8_t version = (uint8_t)(bytes >> (8 * size));
    if (version >= 0x80)
        return false;
    *entry_out = (rf_streams_usual){
        .sizes = sizes,
        .shared = shared,
        .number = (bits & 0x7f) | (bits >> 1 & 0x3f80) | (bits >> 2 & 0x1fc000) |
                  (bits >> 3 & 0xfe00000),
        .size = RF_ENTRY_HEAD + sizes.stored_size + size + 1,
        .version = version,
    };
    return true;
}

/* Reads the entry at *at into *entry, which has the size of the name before it (0 at the start of a
 * block): the name is the first *shared_out bytes of that one, then what *rest_out has. False where
 * the bytes make no entry. */
static inline bool rf_streams_entry_next(const char **at, const char *end, rf_streams_entry *entry,
                                         uint32_t *shared_out, rf_streams_rest *rest_out)
{
    rf_streams_usual usual;

    if (!rf_streams_usual_read(*at, end, entry->name_size, &usual))
        return rf_streams_entry_any(at, end, entry, shared_out, rest_out);
    *rest_out = (rf_streams_rest){
        .stored = *at + RF_ENTRY_HEAD,
        .stored_size = usual.sizes.stored_size,
        .size = usual.sizes.size,
        .form = (uint8_t)(*at)[1],
    };
    *shared_out = usual.shared;
    entry->last_version = usual.version == 0 ? RF_VERSION_NONE : (int64_t)usual.version - 1;
    entry->number = usual.number;
    entry->name_size = usual.shared + usual.sizes.size;
    *at += usual.size;
    return true;
}

/* Reads the entry at *at into *entry. `previous` is the name before it (of entry->name_size bytes;
 * empty at the start of a block), with RF_STREAMS_COPY_STEP readable bytes behind it; `name` is
 * where the name goes, with room for RF_STREAMS_NAME_BUFFER bytes: the same place, or one behind
 * the previous name. False where the bytes make no entry. */
static inline bool rf_streams_entry_read(const char **at, const char *end, const char *previous,
                                         char *name, rf_streams_entry *entry)
{
    uint32_t shared;
    rf_streams_rest rest;

    if (!rf_streams_entry_next(at, end, entry, &shared, &rest))
        return false;
    if (previous != name) {
        for (uint32_t i = 0; i < shared; i += RF_STREAMS_COPY_STEP) {
            char step[RF_STREAMS_COPY_STEP]; /* what is read too much may be what is written */
            memcpy(step, previous + i, sizeof step);
            memcpy(name + i, step, sizeof step);
        }
    }
    rf_streams_rest_write(&rest, end, name, shared);
    return true;
}

#endif
