/* See kv_bulk.h.
 *
 * A run's buffer is an image of pages whose number is not known yet: each large value begins a page
 * behind a header. When the buffer is full, its pages get the next numbers of the file, which are
 * written into the headers and the entries, and it goes out with one pwrite. finish fills leaves
 * from the entries of all runs, then level after level of branches until one page is left, the
 * root.
 */
#include "base/kv_bulk.h"

#include "base/arena.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    PAGE_SIZE = 4096,
    KEY_SIZE_MAX = 511,
    VALUE_SIZE_MAX = 64 << 20,
    META_PAGES = 2,
    /* header of a page */
    PAGE_NUMBER_AT = 0,
    PAGE_FLAGS_AT = 10,
    PAGE_LOWER_AT = 12, /* where free room begins, or how many pages a large value has */
    PAGE_UPPER_AT = 14, /* where it ends */
    PAGE_HEADER_SIZE = 16,
    PAGE_BRANCH = 1,
    PAGE_LEAF = 2,
    PAGE_OVERFLOW = 4,
    PAGE_META = 8,
    /* node of a tree: low and high half of the size, or of the page's number; flags; size of key */
    NODE_FLAGS_AT = 4,
    NODE_KEY_SIZE_AT = 6,
    NODE_HEADER_SIZE = 8,
    NODE_PLACE_SIZE = 2, /* of where it is, behind the page's header */
    NODE_BIG_DATA = 1,
    /* LMDB keeps at least two nodes a page. */
    NODE_SIZE_MAX = (((PAGE_SIZE - PAGE_HEADER_SIZE) / 2) & ~1) - 2,
    /* meta */
    META_VERSION = 1,
    META_MAP_SIZE_AT = PAGE_HEADER_SIZE + 16,
    META_TABLES_AT = PAGE_HEADER_SIZE + 24, /* of free pages, then the main one */
    META_TABLE_SIZE = 48,
    META_LAST_PAGE_AT = META_TABLES_AT + 2 * META_TABLE_SIZE,
    META_TXN_AT = META_LAST_PAGE_AT + 8,
    TABLE_INTEGER_KEY = 8,
    KEYS_BYTES_MAX = 1 << 30, /* of a run */
    START_BYTES_MIN = 256 << 10, /* less is not worth a request of its own to the disk */
};
#define META_MAGIC 0xbeefc0deu

typedef struct bulk_entry {
    const char *key;
    const char *value; /* of one that stands in a leaf; else NULL */
    uint64_t page;     /* of one that does not; within the buffer until that is written */
    uint32_t size;     /* of the value */
    uint16_t key_size;
} bulk_entry;

struct rf_kv_bulk_run {
    rf_kv_bulk *bulk;
    char *buffer; /* from the bulk's spare ones, `capacity` bytes; NULL before the first value */
    size_t capacity;
    size_t used;   /* whole pages */
    size_t written; /* entries whose pages have numbers */
    bool open;
    /* kept until the bulk is freed */
    rf_arena keys;
    bulk_entry *entries;
    size_t count;
    size_t entry_capacity;
};

struct rf_kv_bulk {
    /* fixed after new */
    char path[RF_PATH_SIZE];
    int fd;
    uint32_t run_count;
    /* atomic */
    atomic_uint_fast64_t next_page;
    atomic_int failed; /* errno of the first write that failed; 0: none did */
    /* guarded by mutex */
    pthread_mutex_t mutex;
    bool has_mutex;
    char **spare; /* buffers of RF_KV_BULK_BUFFER_BYTES; room for run_count */
    uint32_t spare_count;
    /* each confined to its thread while it is open */
    rf_kv_bulk_run runs[];
};

rf_status rf_kv_bulk_new(const char *path, bool over, uint32_t run_count, rf_kv_bulk **bulk_out,
                         rf_err *err)
{
    int flags = over ? O_RDWR | O_CLOEXEC : O_RDWR | O_CLOEXEC | O_CREAT | O_EXCL;
    rf_kv_bulk *bulk = calloc(1, sizeof *bulk + run_count * sizeof bulk->runs[0]);

    RF_ASSERT(run_count > 0);
    if (!bulk)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", path);
    bulk->fd = -1;
    bulk->run_count = run_count;
    atomic_init(&bulk->next_page, META_PAGES);
    atomic_init(&bulk->failed, 0);
    bulk->spare = calloc(run_count, sizeof *bulk->spare);
    rf_status status = rf_path_format(bulk->path, "%s", err, path);
    if (status == RF_OK && (!bulk->spare || pthread_mutex_init(&bulk->mutex, NULL) != 0))
        status = rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", path);
    else
        bulk->has_mutex = status == RF_OK;
    if (status == RF_OK && (bulk->fd = open(path, flags, 0600)) < 0)
        status = rf_fail_errno(err, "%s: cannot create", path);
    if (status != RF_OK) {
        rf_kv_bulk_free(bulk);
        return status;
    }
    *bulk_out = bulk;
    return RF_OK;
}

void rf_kv_bulk_free(rf_kv_bulk *bulk)
{
    if (!bulk)
        return;
    for (uint32_t i = 0; i < bulk->run_count; i++) {
        free(bulk->runs[i].buffer);
        free(bulk->runs[i].entries);
        rf_arena_free(&bulk->runs[i].keys);
    }
    for (uint32_t i = 0; i < bulk->spare_count; i++)
        free(bulk->spare[i]);
    free(bulk->spare);
    if (bulk->fd >= 0)
        (void)close(bulk->fd);
    if (bulk->has_mutex)
        (void)pthread_mutex_destroy(&bulk->mutex);
    free(bulk);
}

static void note_failure(rf_kv_bulk *bulk, int cause)
{
    int none = 0;
    (void)atomic_compare_exchange_strong(&bulk->failed, &none, cause);
}

/* What a run says whose file another run could not write: the same, since which of them is reported depends on
 * their numbers alone. */
static rf_status fail_as_noted(const rf_kv_bulk *bulk, int cause, rf_err *err)
{
    errno = cause;
    return rf_fail_errno(err, "%s: cannot write", bulk->path);
}

static rf_status write_at(rf_kv_bulk *bulk, const char *bytes, size_t size, uint64_t at,
                          rf_err *err)
{
    while (size > 0) {
        ssize_t done = pwrite(bulk->fd, bytes, size, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            int cause = done == 0 ? ENOSPC : errno;
            note_failure(bulk, cause);
            return fail_as_noted(bulk, cause, err);
        }
        bytes += done;
        size -= (size_t)done;
        at += (uint64_t)done;
    }
    return RF_OK;
}

/* ---- runs ---- */

rf_status rf_kv_bulk_run_new(rf_kv_bulk *bulk, uint32_t index, rf_kv_bulk_run **run_out,
                             rf_err *err)
{
    RF_ASSERT(index < bulk->run_count && !bulk->runs[index].bulk);
    rf_kv_bulk_run *run = &bulk->runs[index];
    (void)pthread_mutex_lock(&bulk->mutex);
    run->buffer = bulk->spare_count > 0 ? bulk->spare[--bulk->spare_count] : NULL;
    (void)pthread_mutex_unlock(&bulk->mutex);
    if (!run->buffer)
        run->buffer = malloc(RF_KV_BULK_BUFFER_BYTES);
    if (!run->buffer)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", bulk->path);
    run->bulk = bulk;
    run->capacity = RF_KV_BULK_BUFFER_BYTES;
    run->open = true;
    rf_arena_init(&run->keys, KEYS_BYTES_MAX);
    *run_out = run;
    return RF_OK;
}

static uint64_t pages_of(size_t value_size)
{
    return (PAGE_HEADER_SIZE + value_size + PAGE_SIZE - 1) / PAGE_SIZE;
}

static void put_page_header(char *page, uint64_t number, unsigned flags)
{
    memset(page, 0, PAGE_HEADER_SIZE);
    rf_store_u64(page + PAGE_NUMBER_AT, number);
    rf_store_u16(page + PAGE_FLAGS_AT, (uint16_t)flags);
}

/* Numbers the pages of the buffer and writes them. The disk starts on them at once, so that little
 * is left for the fsync of finish; that one tells of failures. */
static rf_status run_write(rf_kv_bulk_run *run, rf_err *err)
{
    rf_kv_bulk *bulk = run->bulk;

    if (run->used == 0)
        return RF_OK;
    uint64_t first = atomic_fetch_add(&bulk->next_page, run->used / PAGE_SIZE);
    for (; run->written < run->count; run->written++) {
        bulk_entry *entry = &run->entries[run->written];
        if (entry->value)
            continue;
        char *page = run->buffer + entry->page * PAGE_SIZE;
        entry->page += first;
        put_page_header(page, entry->page, PAGE_OVERFLOW);
        rf_store_u32(page + PAGE_LOWER_AT, (uint32_t)pages_of(entry->size));
    }
    rf_status status = write_at(bulk, run->buffer, run->used, first * PAGE_SIZE, err);
    if (status == RF_OK && run->used >= START_BYTES_MIN)
        (void)sync_file_range(bulk->fd, (off_t)(first * PAGE_SIZE), (off_t)run->used,
                              SYNC_FILE_RANGE_WRITE);
    run->used = 0;
    return status;
}

static rf_status no_memory(const rf_kv_bulk_run *run, rf_err *err)
{
    note_failure(run->bulk, ENOMEM);
    return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for its keys", run->bulk->path);
}

static rf_status add_entry(rf_kv_bulk_run *run, rf_slice key, size_t size, bulk_entry **entry_out,
                           rf_err *err)
{
    if (run->count == run->entry_capacity) {
        size_t capacity = run->entry_capacity ? 2 * run->entry_capacity : 64;
        bulk_entry *entries = realloc(run->entries, capacity * sizeof *entries);
        if (!entries)
            return no_memory(run, err);
        run->entries = entries;
        run->entry_capacity = capacity;
    }
    rf_slice kept = rf_arena_copy(&run->keys, key);
    if (!kept.data)
        return no_memory(run, err);
    *entry_out = &run->entries[run->count];
    **entry_out = (bulk_entry){
        .key = kept.data, .key_size = (uint16_t)key.size, .size = (uint32_t)size};
    return RF_OK;
}

/* Room for `size` bytes of pages at the end of the buffer. */
static rf_status run_reserve(rf_kv_bulk_run *run, size_t size, rf_err *err)
{
    rf_status status = run->used + size > run->capacity ? run_write(run, err) : RF_OK;

    if (status != RF_OK || size <= run->capacity)
        return status;
    char *buffer = realloc(run->buffer, size);
    if (!buffer)
        return no_memory(run, err);
    run->buffer = buffer;
    run->capacity = size;
    return RF_OK;
}

rf_status rf_kv_bulk_room(rf_kv_bulk_run *run, rf_slice key, size_t size, char **room_out,
                          rf_err *err)
{
    bulk_entry *entry = NULL;

    RF_ASSERT(run->open && key.size > 0 && key.size <= KEY_SIZE_MAX && size > 0 &&
              size <= VALUE_SIZE_MAX);
    int failed = atomic_load_explicit(&run->bulk->failed, memory_order_relaxed);
    if (failed)
        return fail_as_noted(run->bulk, failed, err);
    rf_status status = add_entry(run, key, size, &entry, err);
    if (status != RF_OK)
        return status;
    if (NODE_HEADER_SIZE + key.size + size <= NODE_SIZE_MAX) {
        char *room = rf_arena_bytes(&run->keys, size + 1);
        if (!room)
            return no_memory(run, err);
        entry->value = *room_out = room;
    } else {
        size_t bytes = pages_of(size) * PAGE_SIZE;
        status = run_reserve(run, bytes, err);
        if (status != RF_OK)
            return status;
        char *page = run->buffer + run->used;
        size_t end = PAGE_HEADER_SIZE + size;
        memset(page + end, 0, bytes - end);
        entry->page = run->used / PAGE_SIZE;
        run->used += bytes;
        *room_out = page + PAGE_HEADER_SIZE;
    }
    run->count++;
    return RF_OK;
}

rf_status rf_kv_bulk_run_end(rf_kv_bulk_run *run, rf_err *err)
{
    if (!run)
        return RF_OK;
    RF_ASSERT(run->open);
    rf_kv_bulk *bulk = run->bulk;
    rf_status status = run_write(run, err);
    run->open = false;
    if (run->capacity > RF_KV_BULK_BUFFER_BYTES) {
        free(run->buffer);
    } else {
        (void)pthread_mutex_lock(&bulk->mutex);
        bulk->spare[bulk->spare_count++] = run->buffer;
        (void)pthread_mutex_unlock(&bulk->mutex);
    }
    run->buffer = NULL;
    return status;
}

/* ---- the tree ---- */

/* One level while it is built: pages in `pages`, and what the level above says of each. */
typedef struct bulk_level {
    unsigned flags;
    uint64_t first_page; /* of `pages` in the file, with those of the levels below */
    rf_buf *pages;       /* of all levels */
    size_t page_at;      /* of the page being filled */
    unsigned lower, upper;
    bulk_entry *parents; /* key and page */
    size_t parent_count;
    size_t parent_capacity;
} bulk_level;

static void page_close(bulk_level *level)
{
    if (level->parent_count == 0)
        return;
    char *page = level->pages->data + level->page_at;
    rf_store_u16(page + PAGE_LOWER_AT, (uint16_t)level->lower);
    rf_store_u16(page + PAGE_UPPER_AT, (uint16_t)level->upper);
}

static bool page_begin(bulk_level *level, const bulk_entry *first)
{
    page_close(level);
    char *page = rf_buf_reserve(level->pages, PAGE_SIZE);
    if (!page)
        return false;
    if (level->parent_count == level->parent_capacity) {
        size_t capacity = level->parent_capacity ? 2 * level->parent_capacity : 64;
        bulk_entry *parents = realloc(level->parents, capacity * sizeof *parents);
        if (!parents)
            return false;
        level->parents = parents;
        level->parent_capacity = capacity;
    }
    level->page_at = level->pages->size;
    level->pages->size += PAGE_SIZE;
    uint64_t number = level->first_page + level->page_at / PAGE_SIZE;
    memset(page, 0, PAGE_SIZE);
    put_page_header(page, number, level->flags);
    level->lower = PAGE_HEADER_SIZE;
    level->upper = PAGE_SIZE;
    level->parents[level->parent_count++] =
        (bulk_entry){.key = first->key, .key_size = first->key_size, .page = number};
    return true;
}

static size_t node_size(const bulk_level *level, const bulk_entry *entry)
{
    size_t value_size =
        level->flags != PAGE_LEAF ? 0 : entry->value ? entry->size : sizeof entry->page;

    return (NODE_HEADER_SIZE + entry->key_size + value_size + 1) & ~(size_t)1;
}

/* Adds a node; the first of a branch page stands for all keys below the second, and has none. */
static bool level_add(bulk_level *level, const bulk_entry *entry)
{
    bool is_leaf = level->flags == PAGE_LEAF;
    size_t size = node_size(level, entry);

    if (level->parent_count == 0 || level->upper - level->lower < size + NODE_PLACE_SIZE)
        if (!page_begin(level, entry))
            return false;
    bool leftmost = !is_leaf && level->lower == PAGE_HEADER_SIZE;
    if (leftmost)
        size = NODE_HEADER_SIZE;
    char *page = level->pages->data + level->page_at;
    level->upper -= (unsigned)size;
    rf_store_u16(page + level->lower, (uint16_t)level->upper);
    level->lower += NODE_PLACE_SIZE;
    char *node = page + level->upper;
    uint16_t key_size = leftmost ? 0 : entry->key_size;
    rf_store_u32(node, is_leaf ? entry->size : (uint32_t)entry->page);
    unsigned flags = entry->value ? 0 : NODE_BIG_DATA;
    rf_store_u16(node + NODE_FLAGS_AT, (uint16_t)(is_leaf ? flags : entry->page >> 32));
    rf_store_u16(node + NODE_KEY_SIZE_AT, key_size);
    memcpy(node + NODE_HEADER_SIZE, entry->key, key_size);
    if (is_leaf && entry->value)
        memcpy(node + NODE_HEADER_SIZE + key_size, entry->value, entry->size);
    else if (is_leaf)
        rf_store_u64(node + NODE_HEADER_SIZE + key_size, entry->page);
    return true;
}

/* LMDB ends the process over a branch page with one node. So where the last of them would be alone, it takes the
 * one before it along; pages have room for more than four. */
static bool add_branches(bulk_level *above, const bulk_entry *below, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && i + 2 == count) {
            size_t room = above->upper - above->lower;
            size_t one = node_size(above, &below[i]) + NODE_PLACE_SIZE;
            size_t two = one + node_size(above, &below[i + 1]) + NODE_PLACE_SIZE;
            if (one <= room && room < two && !page_begin(above, &below[i]))
                return false;
        }
        if (!level_add(above, &below[i]))
            return false;
    }
    return true;
}

typedef struct bulk_tree {
    uint64_t branch_pages, leaf_pages, overflow_pages, entries;
    uint64_t root;
    uint16_t depth;
} bulk_tree;

static bool build_leaves(rf_kv_bulk *bulk, bulk_level *leaves, bulk_tree *tree)
{
    for (uint32_t i = 0; i < bulk->run_count; i++) {
        const rf_kv_bulk_run *run = &bulk->runs[i];
        RF_ASSERT(!run->open);
        for (size_t k = 0; k < run->count; k++) {
            const bulk_entry *entry = &run->entries[k];
            if (!level_add(leaves, entry))
                return false;
            tree->overflow_pages += entry->value ? 0 : pages_of(entry->size);
        }
        tree->entries += run->count;
    }
    page_close(leaves);
    return true;
}

/* Leaves, then branches until one page is left. */
static bool build_tree(rf_kv_bulk *bulk, rf_buf *pages, bulk_tree *tree)
{
    uint64_t first_page = atomic_load(&bulk->next_page);
    bulk_level level = {.flags = PAGE_LEAF, .first_page = first_page, .pages = pages};
    bool built = build_leaves(bulk, &level, tree);

    tree->leaf_pages = level.parent_count;
    tree->depth = level.parent_count > 0;
    while (built && level.parent_count > 1) {
        bulk_level above = {.flags = PAGE_BRANCH, .first_page = first_page, .pages = pages};
        built = add_branches(&above, level.parents, level.parent_count);
        page_close(&above);
        free(level.parents);
        level = above;
        tree->branch_pages += level.parent_count;
        tree->depth++;
    }
    tree->root = level.parent_count > 0 ? level.parents[0].page : UINT64_MAX;
    free(level.parents);
    return built;
}

static void put_table(char *at, uint32_t pad, unsigned flags, const bulk_tree *tree)
{
    rf_store_u32(at, pad);
    rf_store_u16(at + 4, (uint16_t)flags);
    rf_store_u16(at + 6, tree->depth);
    rf_store_u64(at + 8, tree->branch_pages);
    rf_store_u64(at + 16, tree->leaf_pages);
    rf_store_u64(at + 24, tree->overflow_pages);
    rf_store_u64(at + 32, tree->entries);
    rf_store_u64(at + 40, tree->root);
}

/* Both metas say the same, as the first and second transaction. */
static rf_status write_metas(rf_kv_bulk *bulk, const bulk_tree *tree, uint64_t page_count,
                             rf_err *err)
{
    static const bulk_tree none = {.root = UINT64_MAX};
    char pages[META_PAGES * PAGE_SIZE] = {0};

    for (uint64_t i = 0; i < META_PAGES; i++) {
        char *page = pages + i * PAGE_SIZE;
        put_page_header(page, i, PAGE_META);
        rf_store_u32(page + PAGE_HEADER_SIZE, META_MAGIC);
        rf_store_u32(page + PAGE_HEADER_SIZE + 4, META_VERSION);
        rf_store_u64(page + META_MAP_SIZE_AT, page_count * PAGE_SIZE);
        /* the first table's padding is the size of a page */
        put_table(page + META_TABLES_AT, PAGE_SIZE, TABLE_INTEGER_KEY, &none);
        put_table(page + META_TABLES_AT + META_TABLE_SIZE, 0, 0, tree);
        rf_store_u64(page + META_LAST_PAGE_AT, page_count - 1);
        rf_store_u64(page + META_TXN_AT, i);
    }
    return write_at(bulk, pages, sizeof pages, 0, err);
}

rf_status rf_kv_bulk_finish(rf_kv_bulk *bulk, uint64_t *size_out, rf_err *err)
{
    bulk_tree tree = {0};
    rf_buf pages;

    int failed = atomic_load(&bulk->failed);
    if (failed)
        return fail_as_noted(bulk, failed, err);
    rf_buf_init(&pages, (size_t)1 << 32);
    rf_status status = build_tree(bulk, &pages, &tree)
                           ? RF_OK
                           : rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for its tree",
                                     bulk->path);
    uint64_t first_page = atomic_load(&bulk->next_page);
    if (status == RF_OK)
        status = write_at(bulk, pages.data, pages.size, first_page * PAGE_SIZE, err);
    uint64_t page_count = first_page + pages.size / PAGE_SIZE;
    rf_buf_free(&pages);
    if (status == RF_OK)
        status = write_metas(bulk, &tree, page_count, err);
    /* what was written over may have been longer */
    if (status == RF_OK && ftruncate(bulk->fd, (off_t)(page_count * PAGE_SIZE)) != 0)
        status = rf_fail_errno(err, "%s: cannot be cut to its size", bulk->path);
    /* with all that is needed to read it again; not its times, which would be the only change where a
     * file of this size was written over */
    if (status == RF_OK && fdatasync(bulk->fd) != 0)
        status = rf_fail_errno(err, "%s: cannot be made durable", bulk->path);
    if (status != RF_OK) {
        note_failure(bulk, EIO);
        return status;
    }
    *size_out = page_count * PAGE_SIZE;
    return RF_OK;
}
