/* See quarantine.h; docs/FORMAT.md has the bytes. */
#include "catalog/quarantine.h"

#include "base/checksum.h"
#include "base/file.h"

#define LIST_BYTES_MAX ((size_t)4 << 30)
#define FILE_BYTES_MAX ((size_t)2 << 30)
#define MAGIC "RFQ1"
enum {
    ITEM_SIZE_MIN = 8 + 1 + 1 + 1 + 1,
    CHECKSUM_SIZE = 8,
};

void rf_left_out_list_init(rf_left_out_list *list)
{
    *list = (rf_left_out_list){0};
    rf_arena_init(&list->memory, LIST_BYTES_MAX);
}

void rf_left_out_list_free(rf_left_out_list *list)
{
    rf_arena_free(&list->memory);
    *list = (rf_left_out_list){0};
}

rf_status rf_left_out_list_add(rf_left_out_list *list, const rf_left_out *item, rf_err *err)
{
    rf_left_out copy = {
        .position = item->position,
        .cause = item->cause,
        .stream = rf_arena_copy(&list->memory, item->stream),
        .type = rf_arena_copy(&list->memory, item->type),
        .reason = rf_arena_copy(&list->memory, item->reason),
    };

    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity ? 2 * list->capacity : 16;
        rf_left_out *items = rf_arena_alloc(&list->memory, capacity * sizeof *items);
        if (items && list->count > 0)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items ? items : list->items;
        list->capacity = items ? capacity : list->capacity;
    }
    if (list->count == list->capacity || !copy.stream.data || !copy.type.data || !copy.reason.data)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u events that are left out",
                       list->count);
    list->items[list->count++] = copy;
    return RF_OK;
}

static void append_text(rf_buf *out, rf_slice text)
{
    rf_buf_append_varint(out, text.size);
    rf_buf_append_slice(out, text);
}

rf_status rf_quarantine_encode(const rf_left_out *items, uint32_t count, rf_buf *out, rf_err *err)
{
    rf_buf_append(out, MAGIC, 4);
    rf_buf_append_u32(out, count);
    for (uint32_t i = 0; i < count; i++) {
        RF_ASSERT(i == 0 || items[i].position >= items[i - 1].position);
        rf_buf_append_u64(out, items[i].position);
        rf_buf_append_byte(out, (uint8_t)items[i].cause);
        append_text(out, items[i].stream);
        append_text(out, items[i].type);
        append_text(out, items[i].reason);
    }
    rf_buf_append_u64(out, rf_checksum(rf_buf_slice(out)));
    return rf_buf_check(out, "a list of events that are left out", err);
}

static rf_slice read_text(rf_bytes_reader *in)
{
    return rf_read_slice(in, rf_read_varint(in));
}

rf_status rf_quarantine_decode(rf_slice bytes, rf_left_out_list *list_out, uint64_t *checksum_out,
                               rf_err *err)
{
    uint64_t before = 0;

    if (bytes.size < 4 + 4 + CHECKSUM_SIZE || memcmp(bytes.data, MAGIC, 4) != 0)
        return rf_fail(err, RF_ERR_DAMAGED, "damaged: this is no QUARANTINE");
    rf_slice body = {bytes.data, bytes.size - CHECKSUM_SIZE};
    uint64_t checksum = rf_load_u64(body.data + body.size);
    if (rf_checksum(body) != checksum)
        return rf_fail(err, RF_ERR_DAMAGED, "damaged: its checksum does not hold");
    rf_bytes_reader in = rf_bytes_reader_of((rf_slice){body.data + 4, body.size - 4});
    uint32_t count = rf_read_u32(&in);
    bool holds = count <= rf_bytes_left(&in) / ITEM_SIZE_MIN;
    for (uint32_t i = 0; holds && i < count; i++) {
        rf_left_out item = {.position = rf_read_u64(&in)};
        uint8_t cause = rf_read_byte(&in);
        item.cause = (rf_cause)cause;
        item.stream = read_text(&in);
        item.type = read_text(&in);
        item.reason = read_text(&in);
        holds = !in.failed && item.position >= before && cause >= RF_CAUSE_SKIPPED &&
                cause <= RF_CAUSE_ON_RECORD && rf_utf8_valid(item.stream) &&
                rf_utf8_valid(item.type) && rf_utf8_valid(item.reason);
        before = item.position;
        rf_status status = holds ? rf_left_out_list_add(list_out, &item, err) : RF_OK;
        if (status != RF_OK)
            return status;
    }
    if (!holds || rf_bytes_left(&in) > 0)
        return rf_fail(err, RF_ERR_DAMAGED, "damaged: it holds what cannot be");
    *checksum_out = checksum;
    return RF_OK;
}

rf_status rf_quarantine_write(const char *dir, const rf_left_out *items, uint32_t count,
                              uint64_t *checksum_out, rf_err *err)
{
    char path[RF_PATH_SIZE];
    rf_buf bytes;

    if (count == 0) {
        *checksum_out = 0;
        return RF_OK;
    }
    rf_buf_init(&bytes, FILE_BYTES_MAX);
    rf_status status = rf_path_format(path, "%s/QUARANTINE", err, dir);
    if (status == RF_OK)
        status = rf_quarantine_encode(items, count, &bytes, err);
    if (status == RF_OK)
        status = rf_file_create(path, rf_buf_slice(&bytes), err);
    if (status == RF_OK)
        *checksum_out = rf_load_u64(bytes.data + bytes.size - CHECKSUM_SIZE);
    rf_buf_free(&bytes);
    return status;
}

rf_status rf_quarantine_read(const char *dir, uint32_t count, uint64_t checksum,
                             rf_left_out_list *list_out, rf_err *err)
{
    char path[RF_PATH_SIZE];
    uint64_t found = 0;
    rf_left_out_list list;
    rf_buf bytes;

    rf_left_out_list_init(&list);
    if (count == 0) {
        *list_out = list;
        return RF_OK;
    }
    rf_status status = rf_path_format(path, "%s/QUARANTINE", err, dir);
    if (status != RF_OK)
        return status;
    if (!rf_path_exists(path))
        return rf_fail(err, RF_ERR_DAMAGED, "%s: damaged: missing", path);
    rf_buf_init(&bytes, FILE_BYTES_MAX);
    status = rf_file_read(path, &bytes, err);
    if (status == RF_OK) {
        status = rf_quarantine_decode(rf_buf_slice(&bytes), &list, &found, err);
        if (status == RF_OK && (list.count != count || found != checksum))
            status = rf_fail(err, RF_ERR_DAMAGED, "damaged: it is not the one that was sealed");
        if (status != RF_OK)
            (void)rf_err_context(err, "%s", path);
    }
    rf_buf_free(&bytes);
    if (status != RF_OK) {
        rf_left_out_list_free(&list);
        return status;
    }
    *list_out = list;
    return RF_OK;
}
