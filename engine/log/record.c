/* See record.h. */
#include "log/record.h"

#include "base/checksum.h"
#include "base/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    DIRECTORY_SIZE = 56,
    META_SIZE = 24,
    SEGMENT_KEY_CHECKSUM_AT = RF_SEGMENT_KEY_SIZE - 4,
    SOURCE_SIZE = 96, /* and the cursor */
    SOURCE_CURSOR_AT = 88,
    SOURCE_NAME_SIZE = 64,
    HEAD_SIZE_MAX = 256,
};

_Static_assert(sizeof((rf_log_source){0}.name) == SOURCE_NAME_SIZE, "a source's name is 64 bytes");

static uint32_t key_checksum(const char *key)
{
    return (uint32_t)rf_checksum((rf_slice){key, SEGMENT_KEY_CHECKSUM_AT});
}

rf_segment_key rf_segment_key_of(const rf_segment_span *span)
{
    rf_segment_key key;

    rf_store_u16_be(key.bytes, (uint16_t)span->partition);
    rf_store_u64_be(key.bytes + 2, span->first_position);
    rf_store_u64(key.bytes + 10, span->last_position);
    rf_store_u32(key.bytes + 18, span->stream_min);
    rf_store_u32(key.bytes + 22, span->stream_max);
    rf_store_u32(key.bytes + SEGMENT_KEY_CHECKSUM_AT, key_checksum(key.bytes));
    return key;
}

/* Where keys stand that begin so, before or behind all of them. */
static rf_segment_key key_at(uint32_t partition, uint64_t position, char rest)
{
    rf_segment_key key;

    memset(key.bytes, rest, sizeof key.bytes);
    rf_store_u16_be(key.bytes, (uint16_t)partition);
    rf_store_u64_be(key.bytes + 2, position);
    return key;
}

rf_segment_key rf_segment_key_from(uint32_t partition, uint64_t position)
{
    return key_at(partition, position, 0);
}

rf_segment_key rf_segment_key_up_to(uint32_t partition, uint64_t position)
{
    return key_at(partition, position, (char)0xff);
}

rf_status rf_segment_key_parse(rf_slice key, rf_segment_span *span_out, rf_err *err)
{
    if (key.size != RF_SEGMENT_KEY_SIZE)
        return rf_fail(err, RF_ERR_DAMAGED, "log: a segment key of %zu bytes", key.size);
    if (rf_load_u32(key.data + SEGMENT_KEY_CHECKSUM_AT) != key_checksum(key.data))
        return rf_fail(err, RF_ERR_DAMAGED,
                       "log: a segment key of partition %u does not match its checksum",
                       rf_load_u16_be(key.data));
    *span_out = (rf_segment_span){
        .partition = rf_load_u16_be(key.data),
        .first_position = rf_load_u64_be(key.data + 2),
        .last_position = rf_load_u64(key.data + 10),
        .stream_min = rf_load_u32(key.data + 18),
        .stream_max = rf_load_u32(key.data + 22),
    };
    return RF_OK;
}

rf_status rf_segment_span_check(const rf_segment_span *span, const rf_segment *segment, rf_err *err)
{
    if (span->partition == segment->partition && span->first_position == segment->first_position &&
        span->last_position == segment->last_position && span->stream_min == segment->stream_min &&
        span->stream_max == segment->stream_max && segment->count > 0 &&
        segment->count <= RF_SEGMENT_EVENTS_MAX && segment->first_position <= segment->last_position)
        return RF_OK;
    return rf_fail(err, RF_ERR_DAMAGED,
                   "log, partition %u: the segment at position %" PRIu64 " is not what its key says",
                   span->partition, span->first_position);
}

/* Puts the checksum of `record` into its last 8 bytes. */
static void record_seal(char *record, size_t size)
{
    rf_store_u64(record + size - 8, rf_checksum((rf_slice){record, size - 8}));
}

static bool record_is_whole(rf_slice record, size_t size)
{
    return record.size == size &&
           rf_load_u64(record.data + size - 8) == rf_checksum((rf_slice){record.data, size - 8});
}

rf_status rf_directory_read(rf_kv_txn *txn, uint32_t partition, rf_directory_record *out,
                            rf_err *err)
{
    char key[2];
    rf_slice value;
    bool found;

    rf_store_u16_be(key, (uint16_t)partition);
    rf_status status =
        rf_kv_get(txn, RF_LOG_DIRECTORY, (rf_slice){key, sizeof key}, &value, &found, err);
    if (status)
        return status;
    if (!found) {
        *out = (rf_directory_record){0};
        return RF_OK;
    }
    if (!record_is_whole(value, DIRECTORY_SIZE))
        return rf_fail(err, RF_ERR_DAMAGED, "log: directory record of partition %u is damaged",
                       partition);
    rf_bytes_reader reader = rf_bytes_reader_of(value);
    out->counts.events = rf_read_u64(&reader);
    out->counts.last_position = rf_read_u64(&reader);
    out->counts.raw_bytes = rf_read_u64(&reader);
    out->tail_first = rf_read_u64(&reader);
    out->counts.streams = rf_read_u32(&reader);
    out->counts.segments = rf_read_u32(&reader);
    out->tail_count = rf_read_u32(&reader);
    return RF_OK;
}

rf_status rf_directory_write(rf_kv_txn *txn, uint32_t partition, const rf_directory_record *record,
                             rf_err *err)
{
    char key[2];
    char bytes[DIRECTORY_SIZE] = {0};

    rf_store_u16_be(key, (uint16_t)partition);
    rf_store_u64(bytes, record->counts.events);
    rf_store_u64(bytes + 8, record->counts.last_position);
    rf_store_u64(bytes + 16, record->counts.raw_bytes);
    rf_store_u64(bytes + 24, record->tail_first);
    rf_store_u32(bytes + 32, record->counts.streams);
    rf_store_u32(bytes + 36, record->counts.segments);
    rf_store_u32(bytes + 40, record->tail_count);
    record_seal(bytes, sizeof bytes);
    return rf_kv_put(txn, RF_LOG_DIRECTORY, (rf_slice){key, sizeof key},
                     (rf_slice){bytes, sizeof bytes}, err);
}

rf_status rf_meta_read(rf_kv_txn *txn, uint32_t *partitions_out, uint64_t *position_out,
                       bool *found_out, rf_err *err)
{
    rf_slice value;
    bool found;

    rf_status status = rf_kv_get(txn, RF_LOG_META, RF_SLICE("log"), &value, &found, err);
    if (status)
        return status;
    if (found && !record_is_whole(value, META_SIZE))
        return rf_fail(err, RF_ERR_DAMAGED, "log: the record of its last position is damaged");
    *found_out = found;
    *partitions_out = found ? rf_load_u32(value.data) : 0;
    *position_out = found ? rf_load_u64(value.data + 8) : 0;
    return RF_OK;
}

rf_status rf_meta_write(rf_kv_txn *txn, uint32_t partitions, uint64_t position, rf_err *err)
{
    char bytes[META_SIZE] = {0};

    rf_store_u32(bytes, partitions);
    rf_store_u64(bytes + 8, position);
    record_seal(bytes, sizeof bytes);
    return rf_kv_put(txn, RF_LOG_META, RF_SLICE("log"), (rf_slice){bytes, sizeof bytes}, err);
}

static const char source_prefix[] = "source:";
enum { SOURCE_KEY_SIZE = sizeof source_prefix - 1 + 2 };

static void source_key(uint32_t number, char key_out[SOURCE_KEY_SIZE])
{
    memcpy(key_out, source_prefix, sizeof source_prefix - 1);
    rf_store_u16_be(key_out + sizeof source_prefix - 1, (uint16_t)number);
}

static rf_status source_parse(rf_slice value, uint32_t number, rf_log_source *out, rf_err *err)
{
    size_t cursor_size = value.size >= SOURCE_SIZE ? rf_load_u32(value.data + 84) : 0;

    if (cursor_size > RF_LOG_CURSOR_SIZE_MAX || !record_is_whole(value, SOURCE_SIZE + cursor_size) ||
        value.data[SOURCE_NAME_SIZE - 1] != '\0' || rf_load_u32(value.data + 80) != number)
        return rf_fail(err, RF_ERR_DAMAGED, "log: the record of source %u is damaged", number);
    memcpy(out->name, value.data, SOURCE_NAME_SIZE);
    out->mark = rf_load_u64(value.data + 64);
    out->events = rf_load_u64(value.data + 72);
    out->number = number;
    out->cursor_size = (uint32_t)cursor_size;
    memset(out->cursor, 0, sizeof out->cursor);
    memcpy(out->cursor, value.data + SOURCE_CURSOR_AT, cursor_size);
    return RF_OK;
}

rf_status rf_sources_read(rf_kv_txn *txn, rf_log_source **sources_out, uint32_t *count_out,
                          rf_err *err)
{
    rf_log_source *sources = NULL;
    uint32_t count = 0;
    uint32_t room = 0;
    rf_status status = RF_OK;

    while (count < RF_LOG_SOURCES_MAX) {
        char key[SOURCE_KEY_SIZE];
        rf_slice value;
        bool found;

        source_key(count, key);
        status = rf_kv_get(txn, RF_LOG_META, (rf_slice){key, sizeof key}, &value, &found, err);
        if (status)
            goto fail;
        if (!found)
            break;
        if (count == room) {
            room = room ? 2 * room : 8;
            rf_log_source *grown = realloc(sources, room * sizeof *grown);
            if (!grown) {
                status = rf_fail(err, RF_ERR_MEMORY, "log: no memory for %u sources", room);
                goto fail;
            }
            sources = grown;
        }
        status = source_parse(value, count, &sources[count], err);
        if (status)
            goto fail;
        count++;
    }
    *sources_out = sources;
    *count_out = count;
    return RF_OK;
fail:
    free(sources);
    return status;
}

rf_status rf_source_write(rf_kv_txn *txn, const rf_log_source *source, rf_err *err)
{
    char key[SOURCE_KEY_SIZE];
    char bytes[SOURCE_SIZE + RF_LOG_CURSOR_SIZE_MAX] = {0};
    size_t size = SOURCE_SIZE + source->cursor_size;

    RF_ASSERT(source->number < RF_LOG_SOURCES_MAX);
    RF_ASSERT(source->cursor_size <= RF_LOG_CURSOR_SIZE_MAX);
    source_key(source->number, key);
    memcpy(bytes, source->name, strnlen(source->name, SOURCE_NAME_SIZE - 1));
    rf_store_u64(bytes + 64, source->mark);
    rf_store_u64(bytes + 72, source->events);
    rf_store_u32(bytes + 80, source->number);
    rf_store_u32(bytes + 84, source->cursor_size);
    memcpy(bytes + SOURCE_CURSOR_AT, source->cursor, source->cursor_size);
    record_seal(bytes, size);
    return rf_kv_put(txn, RF_LOG_META, (rf_slice){key, sizeof key}, (rf_slice){bytes, size}, err);
}

/* The text that the checksum of HEAD is over. */
static int head_format(const rf_head *head, char text_out[HEAD_SIZE_MAX])
{
    return snprintf(text_out, HEAD_SIZE_MAX,
                    "refold-head 1\nposition %" PRIu64 "\ntransaction %" PRIu64 "\n",
                    head->position, head->txn_id);
}

static int head_format_sealed(const rf_head *head, char text_out[HEAD_SIZE_MAX])
{
    int size = head_format(head, text_out);
    uint64_t checksum = rf_checksum((rf_slice){text_out, (size_t)size});

    return size + snprintf(text_out + size, HEAD_SIZE_MAX - (size_t)size,
                           "checksum %016" PRIx64 "\n", checksum);
}

rf_status rf_head_read(const char *log_path, rf_head *head_out, bool *found_out, rf_err *err)
{
    char path[RF_PATH_SIZE];
    char expected[HEAD_SIZE_MAX];
    rf_buf text;
    rf_head head = {0};

    rf_status status = rf_path_format(path, "%s/HEAD", err, log_path);
    if (status)
        return status;
    if (!rf_path_exists(path)) {
        *found_out = false;
        return RF_OK;
    }
    rf_buf_init(&text, HEAD_SIZE_MAX);
    status = rf_file_read(path, &text, err);
    if (!status) {
        rf_buf_append_byte(&text, 0);
        int parsed =
            text.failed
                ? 0
                : sscanf(text.data, "refold-head 1\nposition %" SCNu64 "\ntransaction %" SCNu64,
                         &head.position, &head.txn_id);
        /* Whatever was parsed must give exactly these bytes again. */
        int size = head_format_sealed(&head, expected);
        if (parsed != 2 || text.size != (size_t)size + 1 ||
            memcmp(text.data, expected, (size_t)size) != 0)
            status = rf_fail(err, RF_ERR_DAMAGED, "%s is damaged", path);
    }
    rf_buf_free(&text);
    if (status)
        return status;
    *head_out = head;
    *found_out = true;
    return RF_OK;
}

rf_status rf_head_write(const char *log_path, const rf_head *head, rf_err *err)
{
    char path[RF_PATH_SIZE];
    char text[HEAD_SIZE_MAX];

    rf_status status = rf_path_format(path, "%s/HEAD", err, log_path);
    if (status)
        return status;
    int size = head_format_sealed(head, text);
    return rf_file_replace(path, (rf_slice){text, (size_t)size}, err);
}

rf_status rf_head_raise(const char *log_path, uint64_t position, uint64_t txn_id, rf_err *err)
{
    char lock[RF_PATH_SIZE];
    rf_head head = {0};
    bool found;
    int fd;

    rf_status status = rf_path_format(lock, "%s/HEAD.lock", err, log_path);
    if (status)
        return status;
    status = rf_lock_acquire(lock, RF_LOCK_EXCLUSIVE, -1, "another commit writes HEAD", &fd, err);
    if (status)
        return status;
    status = rf_head_read(log_path, &head, &found, err);
    if (!status && (!found || head.position < position)) {
        head = (rf_head){position, txn_id};
        status = rf_head_write(log_path, &head, err);
    }
    rf_lock_release(fd);
    return status;
}
