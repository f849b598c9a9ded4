/* See base.h. This file reads base files; base_write.c writes them.
 *
 * A block's checksum is verified when a thread first touches it: one bit for each page of the file,
 * set after the check, remembers that. Two threads may both check; neither serves rows before it
 * has. Only blocks on pages of their own start right after a page's header; smaller ones share a
 * leaf of the tree with others and are checked each time, which costs as little as reading them.
 */
#include "catalog/base.h"

#include "base/checksum.h"
#include "base/file.h"
#include "catalog/row.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    PAGE_SIZE = 4096,
    PAGE_HEADER_SIZE = 16,
    BASE_KEY_SIZE_MAX = 2 + RF_KEY_SIZE_MAX,
    PARTITIONS_MAX = 1024,
};

typedef struct base_file {
    /* fixed after open */
    rf_kv *kv;
    const char *map;
    size_t size;
    uint32_t first_partition, last_partition;
    char path[RF_PATH_SIZE];
    /* atomic: bit per page, set once the block that starts there has been verified */
    _Atomic uint64_t *verified;
} base_file;

struct rf_base {
    uint32_t partitions;
    uint32_t file_count;
    base_file files[];
};

/* One thread's view of one file. */
typedef struct file_view {
    rf_kv_txn *txn;
    rf_kv_cursor *cursor;
} file_view;

struct rf_base_reader {
    rf_base *base;
    file_view views[RF_BASE_FILES_MAX]; /* opened at first use */
};

static rf_status file_open(base_file *file, const char *dir, const rf_base_file *known, rf_err *err)
{
    struct stat info;

    rf_status status = rf_path_format(file->path, "%s/%s", err, dir, known->name);
    if (status != RF_OK)
        return status;
    if (stat(file->path, &info) != 0)
        return rf_fail(err, RF_ERR_DAMAGED, "%s: the base file is missing", file->path);
    if (!S_ISREG(info.st_mode) || (uint64_t)info.st_size != known->size)
        return rf_fail(err, RF_ERR_DAMAGED, "%s: %llu bytes, but %llu were sealed", file->path,
                       (unsigned long long)info.st_size, (unsigned long long)known->size);
    rf_kv_options options = {.immutable = true};
    status = rf_kv_open(file->path, &options, &file->kv, err);
    if (status != RF_OK)
        return status;
    rf_kv_info kv_info;
    rf_kv_get_info(file->kv, &kv_info);
    file->map = kv_info.map;
    file->size = (size_t)known->size;
    file->first_partition = known->first_partition;
    file->last_partition = known->last_partition;
    file->verified = calloc(file->size / PAGE_SIZE / 64 + 1, sizeof *file->verified);
    if (!file->verified)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", file->path);
    return RF_OK;
}

rf_status rf_base_open(const char *dir, uint32_t partitions, const rf_base_file *files,
                       uint32_t count, rf_base **base_out, rf_err *err)
{
    RF_ASSERT(partitions > 0 && partitions <= PARTITIONS_MAX);
    RF_ASSERT(count > 0 && count <= RF_BASE_FILES_MAX);
    rf_base *base = calloc(1, sizeof *base + count * sizeof base->files[0]);
    if (!base)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", dir);
    base->partitions = partitions;
    uint32_t next = 0;
    for (uint32_t i = 0; i < count; i++) {
        base->file_count = i + 1;
        rf_status status = RF_OK;
        if (files[i].first_partition != next || files[i].last_partition < next)
            status = rf_fail(err, RF_ERR_DAMAGED, "%s: base file %u is not for partition %u", dir,
                             i, next);
        if (status == RF_OK)
            status = file_open(&base->files[i], dir, &files[i], err);
        if (status != RF_OK) {
            rf_base_close(base);
            return status;
        }
        next = files[i].last_partition + 1;
    }
    if (next != partitions) {
        rf_base_close(base);
        return rf_fail(err, RF_ERR_DAMAGED, "%s: its base files are for %u of %u partitions", dir,
                       next, partitions);
    }
    *base_out = base;
    return RF_OK;
}

void rf_base_close(rf_base *base)
{
    if (!base)
        return;
    for (uint32_t i = 0; i < base->file_count; i++) {
        rf_kv_close(base->files[i].kv);
        free(base->files[i].verified);
    }
    free(base);
}

static uint32_t file_of(const rf_base *base, uint32_t partition)
{
    uint32_t index = 0;

    RF_ASSERT(partition < base->partitions);
    /* Groups are equal when refold wrote them; a guess that is right is the rule. */
    index = (uint32_t)((uint64_t)partition * base->file_count / base->partitions);
    while (base->files[index].first_partition > partition)
        index--;
    while (base->files[index].last_partition < partition)
        index++;
    return index;
}

static rf_status view_open(const base_file *file, file_view *view, rf_err *err)
{
    rf_status status = rf_kv_begin(file->kv, false, &view->txn, err);

    if (status != RF_OK)
        return status;
    status = rf_kv_cursor_open(view->txn, 0, &view->cursor, err);
    if (status != RF_OK) {
        rf_kv_abort(view->txn);
        view->txn = NULL;
    }
    return status;
}

static void view_close(file_view *view)
{
    rf_kv_cursor_close(view->cursor);
    rf_kv_abort(view->txn);
    *view = (file_view){0};
}

static rf_status fail_block(const base_file *file, rf_slice first_key, rf_err *err)
{
    (void)rf_err_context(err, "%s: block of row %.*s", file->path, (int)first_key.size,
                         first_key.data);
    return RF_ERR_DAMAGED;
}

/* Opens the block that stands under `stored_key`, verified unless it was before. */
static rf_status open_block(base_file *file, rf_slice stored_key, rf_slice value,
                            rf_block *block_out, rf_err *err)
{
    size_t offset = (size_t)(value.data - file->map);
    rf_slice first_key = {stored_key.data + 2, stored_key.size - 2};
    size_t page = offset / PAGE_SIZE;
    rf_slice key, row;

    /* A damaged inner page can make LMDB point outside of the mapping; such a block is not touched.
     */
    if (value.data < file->map || offset > file->size || value.size > file->size - offset) {
        (void)rf_fail(err, RF_ERR_DAMAGED, "it is outside of the file");
        return fail_block(file, first_key, err);
    }
    bool own_pages = offset % PAGE_SIZE == PAGE_HEADER_SIZE;
    uint64_t bit = (uint64_t)1 << page % 64;
    bool known = own_pages && (atomic_load_explicit(&file->verified[page / 64],
                                                    memory_order_acquire) & bit) != 0;
    rf_status status = rf_block_open(value, !known, block_out, err);
    if (status == RF_OK)
        status = rf_block_row(block_out, 0, &key, &row, err);
    if (status == RF_OK && !rf_slice_equal(key, first_key))
        status = rf_fail(err, RF_ERR_DAMAGED, "it stands under another key");
    if (status != RF_OK)
        return fail_block(file, first_key, err);
    if (own_pages && !known)
        (void)atomic_fetch_or_explicit(&file->verified[page / 64], bit, memory_order_release);
    return RF_OK;
}

static rf_slice base_key(char bytes[BASE_KEY_SIZE_MAX], uint32_t partition, rf_slice key)
{
    RF_ASSERT(key.size <= RF_KEY_SIZE_MAX);
    rf_store_u16_be(bytes, (uint16_t)partition);
    if (key.size > 0)
        memcpy(bytes + 2, key.data, key.size);
    return (rf_slice){bytes, 2 + key.size};
}

static bool is_of_partition(rf_slice stored_key, uint32_t partition)
{
    return stored_key.size >= 2 && rf_load_u16_be(stored_key.data) == partition;
}

rf_status rf_base_reader_open(rf_base *base, rf_base_reader **reader_out, rf_err *err)
{
    rf_base_reader *reader = calloc(1, sizeof *reader);

    if (!reader)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a reader");
    reader->base = base;
    *reader_out = reader;
    return RF_OK;
}

void rf_base_reader_close(rf_base_reader *reader)
{
    if (!reader)
        return;
    for (uint32_t i = 0; i < reader->base->file_count; i++)
        view_close(&reader->views[i]);
    free(reader);
}

rf_status rf_base_reader_get(rf_base_reader *reader, rf_slice key, rf_slice *row_out,
                             bool *found_out, rf_err *err)
{
    char bytes[BASE_KEY_SIZE_MAX];
    rf_slice stored_key, value, row_key, row;
    rf_block block;
    bool found, equal;

    if (key.size > RF_KEY_SIZE_MAX) {
        *found_out = false;
        return RF_OK;
    }
    uint32_t partition = rf_partition_of(key, reader->base->partitions);
    uint32_t index = file_of(reader->base, partition);
    base_file *file = &reader->base->files[index];
    file_view *view = &reader->views[index];
    rf_status status = view->txn ? RF_OK : view_open(file, view, err);
    if (status == RF_OK)
        status = rf_kv_cursor_seek(view->cursor, RF_KV_AT_MOST, base_key(bytes, partition, key),
                                   &stored_key, &value, &found, err);
    if (status != RF_OK)
        return status;
    if (!found || !is_of_partition(stored_key, partition)) {
        *found_out = false;
        return RF_OK;
    }
    status = open_block(file, stored_key, value, &block, err);
    if (status != RF_OK)
        return status;
    uint32_t at = rf_block_find(&block, key, &equal);
    if (equal) {
        status = rf_block_row(&block, at, &row_key, &row, err);
        if (status != RF_OK)
            return fail_block(file, key, err);
        *row_out = row;
    }
    *found_out = equal;
    return RF_OK;
}

/* Cursors: a lane for each partition, merged by a binary heap of lanes with the lowest key on top.
 */
typedef struct base_lane {
    uint32_t partition;
    base_file *file;
    rf_kv_cursor *cursor;
    rf_block block;
    uint32_t next; /* row of the block that comes after `key` */
    rf_slice key, row;
} base_lane;

struct rf_base_cursor {
    rf_base *base;
    rf_kv_txn *txns[RF_BASE_FILES_MAX];
    uint32_t lane_count;
    uint32_t heap_count;
    bool is_started; /* the top of the heap has been given */
    base_lane **heap;
    base_lane lanes[];
};

static bool lane_before(const base_lane *a, const base_lane *b)
{
    return rf_slice_compare(a->key, b->key) < 0;
}

static void heap_sink(rf_base_cursor *cursor, uint32_t at)
{
    base_lane **heap = cursor->heap;
    base_lane *moving = heap[at];

    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= cursor->heap_count)
            break;
        if (child + 1 < cursor->heap_count && lane_before(heap[child + 1], heap[child]))
            child++;
        if (!lane_before(heap[child], moving))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

/* Moves to the block that a seek gave; *found_out false past the partition's end. */
static rf_status lane_enter(base_lane *lane, rf_kv_seek seek, rf_slice at, bool *found_out,
                            rf_err *err)
{
    rf_slice stored_key, value;
    bool found;

    rf_status status = rf_kv_cursor_seek(lane->cursor, seek, at, &stored_key, &value, &found, err);
    if (status != RF_OK)
        return status;
    *found_out = found && is_of_partition(stored_key, lane->partition);
    lane->next = 0;
    return *found_out ? open_block(lane->file, stored_key, value, &lane->block, err) : RF_OK;
}

static rf_status lane_next(base_lane *lane, bool *found_out, rf_err *err)
{
    *found_out = true;
    if (lane->next == lane->block.count) {
        rf_status status = lane_enter(lane, RF_KV_NEXT, (rf_slice){"", 0}, found_out, err);
        if (status != RF_OK || !*found_out)
            return status;
    }
    rf_status status = rf_block_row(&lane->block, lane->next, &lane->key, &lane->row, err);
    if (status != RF_OK)
        return fail_block(lane->file, (rf_slice){"", 0}, err);
    lane->next++;
    return RF_OK;
}

/* The first row with key >= `from`: in the block that begins at or before it, or first of the next.
 */
static rf_status lane_start(base_lane *lane, rf_slice from, bool *found_out, rf_err *err)
{
    char bytes[BASE_KEY_SIZE_MAX];
    rf_slice at = base_key(bytes, lane->partition, from);
    bool equal;

    rf_status status = lane_enter(lane, RF_KV_AT_MOST, at, found_out, err);
    if (status == RF_OK && *found_out)
        lane->next = rf_block_find(&lane->block, from, &equal);
    else if (status == RF_OK)
        status = lane_enter(lane, RF_KV_AT_LEAST, at, found_out, err);
    if (status != RF_OK || !*found_out)
        return status;
    return lane_next(lane, found_out, err);
}

rf_status rf_base_cursor_open(rf_base *base, uint32_t partition, rf_slice from,
                              rf_base_cursor **cursor_out, rf_err *err)
{
    bool all = partition == RF_BASE_ALL;
    uint32_t count = all ? base->partitions : 1;
    rf_status status = RF_OK;

    RF_ASSERT(all || partition < base->partitions);
    if (from.size > RF_KEY_SIZE_MAX)
        return rf_fail(err, RF_ERR_INPUT, "a key of %zu bytes is over the limit of %d", from.size,
                       RF_KEY_SIZE_MAX);
    rf_base_cursor *cursor = calloc(1, sizeof *cursor + count * sizeof cursor->lanes[0]);
    if (!cursor || !(cursor->heap = calloc(count, sizeof *cursor->heap))) {
        free(cursor);
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a cursor");
    }
    cursor->base = base;
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        base_lane *lane = &cursor->lanes[i];
        bool found = false;
        cursor->lane_count = i + 1;
        lane->partition = all ? i : partition;
        uint32_t index = file_of(base, lane->partition);
        lane->file = &base->files[index];
        if (!cursor->txns[index])
            status = rf_kv_begin(lane->file->kv, false, &cursor->txns[index], err);
        if (status == RF_OK)
            status = rf_kv_cursor_open(cursor->txns[index], 0, &lane->cursor, err);
        if (status == RF_OK)
            status = lane_start(lane, from, &found, err);
        if (found)
            cursor->heap[cursor->heap_count++] = lane;
    }
    if (status != RF_OK) {
        rf_base_cursor_close(cursor);
        return status;
    }
    for (uint32_t i = cursor->heap_count / 2; i-- > 0;)
        heap_sink(cursor, i);
    *cursor_out = cursor;
    return RF_OK;
}

void rf_base_cursor_close(rf_base_cursor *cursor)
{
    if (!cursor)
        return;
    for (uint32_t i = 0; i < cursor->lane_count; i++)
        rf_kv_cursor_close(cursor->lanes[i].cursor);
    for (uint32_t i = 0; i < cursor->base->file_count; i++)
        rf_kv_abort(cursor->txns[i]);
    free(cursor->heap);
    free(cursor);
}

rf_status rf_base_cursor_next(rf_base_cursor *cursor, rf_slice *key_out, rf_slice *row_out,
                              bool *found_out, rf_err *err)
{
    if (cursor->is_started && cursor->heap_count > 0) {
        bool found;
        rf_status status = lane_next(cursor->heap[0], &found, err);
        if (status != RF_OK)
            return status;
        if (!found)
            cursor->heap[0] = cursor->heap[--cursor->heap_count];
        if (cursor->heap_count > 0)
            heap_sink(cursor, 0);
    }
    cursor->is_started = true;
    *found_out = cursor->heap_count > 0;
    if (*found_out) {
        *key_out = cursor->heap[0]->key;
        *row_out = cursor->heap[0]->row;
    }
    return RF_OK;
}

/* ---- whole blocks ---- */

struct rf_base_blocks {
    rf_kv_txn *txn;
    base_lane lane;
    bool is_started;
};

rf_status rf_base_blocks_open(rf_base *base, uint32_t partition, rf_base_blocks **blocks_out,
                              rf_err *err)
{
    rf_base_blocks *blocks = calloc(1, sizeof *blocks);

    RF_ASSERT(partition < base->partitions);
    if (!blocks)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the blocks of a partition");
    blocks->lane.partition = partition;
    blocks->lane.file = &base->files[file_of(base, partition)];
    rf_status status = rf_kv_begin(blocks->lane.file->kv, false, &blocks->txn, err);
    if (status == RF_OK)
        status = rf_kv_cursor_open(blocks->txn, 0, &blocks->lane.cursor, err);
    if (status != RF_OK) {
        rf_base_blocks_close(blocks);
        return status;
    }
    *blocks_out = blocks;
    return RF_OK;
}

void rf_base_blocks_close(rf_base_blocks *blocks)
{
    if (!blocks)
        return;
    rf_kv_cursor_close(blocks->lane.cursor);
    rf_kv_abort(blocks->txn);
    free(blocks);
}

rf_status rf_base_blocks_next(rf_base_blocks *blocks, rf_block *block_out, bool *found_out,
                              rf_err *err)
{
    char bytes[BASE_KEY_SIZE_MAX];
    rf_slice first = base_key(bytes, blocks->lane.partition, RF_SLICE(""));

    rf_status status = lane_enter(&blocks->lane, blocks->is_started ? RF_KV_NEXT : RF_KV_AT_LEAST,
                                  first, found_out, err);
    blocks->is_started = true;
    if (status == RF_OK && *found_out)
        *block_out = blocks->lane.block;
    return status;
}
