/* Looking for damage in what LMDB itself keeps and does not check; see rf_kv_check_pages in kv.h.
 *
 * LMDB's pages have no checksums, and LMDB trusts them: a wrong offset or number ends in SIGSEGV or SIGBUS
 * inside of it. So the trees are walked here, from the roots that the meta page of the transaction has, with
 * pages that are read and not mapped: each has to be the page that it says, its entries have to lie in it, and
 * no page may be in two places. What that marks as used is held against the list of free pages, where a wrong
 * number shows only when a later commit writes over a page in use. Offsets are those of LMDB 0.9 on machines of
 * 64 bits, without DUPSORT.
 */
#include "base/kv.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    PAGE_FLAGS_AT = 10, /* u16, after the page's number and padding */
    PAGE_LOWER_AT = 12, /* u16: end of the offsets of its entries */
    PAGE_UPPER_AT = 14, /* u16: where entries begin */
    PAGE_COUNT_AT = 12, /* u32, of pages, where a value has its own */
    PAGE_HEADER_SIZE = 16,
    PAGE_BRANCH = 1,
    PAGE_LEAF = 2,
    PAGE_OVERFLOW = 4,
    ENTRY_FLAGS_AT = 4,
    ENTRY_KEY_SIZE_AT = 6,
    ENTRY_HEADER_SIZE = 8,
    ENTRY_BIG = 1,   /* its value is the number of the first of its own pages */
    ENTRY_TABLE = 2, /* its value is a table */
    META_TABLES_AT = 40, /* of the free pages, then the main one */
    META_TXN_AT = META_TABLES_AT + 2 * 48 + 8,
    META_SIZE = META_TXN_AT + 8,
    TABLE_SIZE = 48,
    TABLE_ROOT_AT = 40,
    FIRST_PAGE = 2, /* after the two meta pages */
    DEPTH_MAX = 32, /* LMDB's cursors hold no more */
    TRIES_MAX = 100,
};

struct marks {
    rf_kv_info info;
    int fd;
    uint8_t *used; /* a bit a page */
    uint8_t *free_pages;
    char *pages; /* that the walk is on, by depth */
};

static bool take_bit(uint8_t *bits, uint64_t index)
{
    bool was = (bits[index >> 3] >> (index & 7)) & 1;

    bits[index >> 3] = (uint8_t)(bits[index >> 3] | (1u << (index & 7)));
    return was;
}

static bool read_at(const struct marks *marks, uint64_t at, char *to, size_t size)
{
    return pread(marks->fd, to, size, (off_t)at) == (ssize_t)size;
}

static rf_status fail_page(uint64_t number, const char *what, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED, "page %llu %s", (unsigned long long)number, what);
}

/* Takes `count` pages from `number` on; false where one is none, or is taken already. */
static bool take_pages(struct marks *marks, uint64_t number, uint64_t count)
{
    bool free = number >= FIRST_PAGE && number <= marks->info.last_page &&
                count <= marks->info.last_page - number + 1;

    for (uint64_t i = 0; free && i < count; i++)
        free = !take_bit(marks->used, number + i);
    return free;
}

/* The pages of a value that has its own. */
static rf_status take_value(struct marks *marks, uint64_t number, uint64_t size, rf_err *err)
{
    char header[PAGE_HEADER_SIZE];

    if (number < FIRST_PAGE || number > marks->info.last_page ||
        !read_at(marks, number * marks->info.page_size, header, sizeof header))
        return fail_page(number, "of a value is none of the file", err);
    uint64_t count = rf_load_u32(header + PAGE_COUNT_AT);
    if (rf_load_u64(header) != number || rf_load_u16(header + PAGE_FLAGS_AT) != PAGE_OVERFLOW ||
        count * marks->info.page_size < PAGE_HEADER_SIZE + size)
        return fail_page(number, "does not hold the value that it is said to", err);
    return take_pages(marks, number, count) ? RF_OK : fail_page(number, "is in two places", err);
}

static rf_status walk_page(struct marks *marks, uint64_t number, unsigned depth, rf_err *err);

static rf_status walk_table(struct marks *marks, const char *table, unsigned depth, rf_err *err)
{
    uint64_t root = rf_load_u64(table + TABLE_ROOT_AT);

    return root == UINT64_MAX ? RF_OK : walk_page(marks, root, depth, err);
}

/* An entry of a leaf, which lies in the page with its key. */
static rf_status walk_leaf(struct marks *marks, const char *entry, size_t room, uint64_t number,
                           unsigned depth, rf_err *err)
{
    uint64_t size = rf_load_u16(entry) | (uint64_t)rf_load_u16(entry + 2) << 16;
    uint16_t flags = rf_load_u16(entry + ENTRY_FLAGS_AT);
    const char *value = entry + ENTRY_HEADER_SIZE + rf_load_u16(entry + ENTRY_KEY_SIZE_AT);

    if (flags == ENTRY_BIG && room >= 8)
        return take_value(marks, rf_load_u64(value), size, err);
    if (flags == ENTRY_TABLE && size == TABLE_SIZE && room >= TABLE_SIZE)
        return walk_table(marks, value, depth + 1, err);
    return flags == 0 && size <= room ? RF_OK
                                      : fail_page(number, "has an entry that is none", err);
}

static rf_status walk_page(struct marks *marks, uint64_t number, unsigned depth, rf_err *err)
{
    size_t size = marks->info.page_size;

    if (depth >= 2 * DEPTH_MAX || !take_pages(marks, number, 1))
        return fail_page(number, "of a tree is none of the file, or in two places", err);
    char *page = marks->pages + depth * size;
    if (!read_at(marks, number * size, page, size))
        return fail_page(number, "cannot be read", err);
    uint16_t flags = rf_load_u16(page + PAGE_FLAGS_AT);
    size_t lower = rf_load_u16(page + PAGE_LOWER_AT), upper = rf_load_u16(page + PAGE_UPPER_AT);
    if (rf_load_u64(page) != number || (flags != PAGE_BRANCH && flags != PAGE_LEAF) ||
        lower <= PAGE_HEADER_SIZE || lower % 2 != 0 || lower > upper || upper > size)
        return fail_page(number, "is no page of a tree", err);
    rf_status status = RF_OK;
    for (size_t at = PAGE_HEADER_SIZE; status == RF_OK && at < lower; at += 2) {
        size_t begin = rf_load_u16(page + at);
        const char *entry = page + begin;
        if (begin < upper || begin + ENTRY_HEADER_SIZE > size ||
            begin + ENTRY_HEADER_SIZE + rf_load_u16(entry + ENTRY_KEY_SIZE_AT) > size)
            return fail_page(number, "has an entry outside of it", err);
        size_t room = size - begin - ENTRY_HEADER_SIZE - rf_load_u16(entry + ENTRY_KEY_SIZE_AT);
        uint64_t child = rf_load_u16(entry) | (uint64_t)rf_load_u16(entry + 2) << 16 |
                         (uint64_t)rf_load_u16(entry + ENTRY_FLAGS_AT) << 32;
        status = flags == PAGE_BRANCH ? walk_page(marks, child, depth + 1, err)
                                      : walk_leaf(marks, entry, room, number, depth, err);
    }
    return status;
}

/* One record of the list: how many, then page numbers, descending. */
static bool check_free_record(struct marks *marks, rf_slice record)
{
    uint64_t before = UINT64_MAX;

    if (record.size < 8 || rf_load_u64(record.data) > record.size / 8 - 1)
        return false;
    uint64_t count = rf_load_u64(record.data);
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t page = rf_load_u64(record.data + i * 8);
        if (page < FIRST_PAGE || page > marks->info.last_page || page >= before ||
            take_bit(marks->free_pages, page) || (marks->used[page >> 3] >> (page & 7) & 1))
            return false;
        before = page;
    }
    return true;
}

static rf_status check_free_list(struct marks *marks, rf_kv_txn *txn, rf_err *err)
{
    rf_kv_cursor *cursor;
    rf_slice key = {"", 0};
    rf_slice value;
    bool found = false;

    rf_status status = rf_kv_cursor_open(txn, RF_KV_TABLE_FREE, &cursor, err);
    if (status != RF_OK)
        return status;
    rf_kv_seek seek = RF_KV_FIRST;
    for (;; seek = RF_KV_NEXT) {
        status = rf_kv_cursor_seek(cursor, seek, key, &key, &value, &found, err);
        if (status != RF_OK || !found)
            break;
        if (!check_free_record(marks, value)) {
            status = rf_fail(err, RF_ERR_DAMAGED,
                             "the list of free pages is damaged; do not write to it any more");
            break;
        }
    }
    rf_kv_cursor_close(cursor);
    return status;
}

/* A transaction, and the meta page that it began from, which the second commit after it writes over. */
static rf_status begin(rf_kv *kv, struct marks *marks, rf_kv_txn **txn_out, char meta_out[META_SIZE],
                       rf_err *err)
{
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        rf_kv_txn *txn;
        rf_status status = rf_kv_begin(kv, false, &txn, err);
        if (status != RF_OK)
            return status;
        rf_kv_get_info(kv, &marks->info); /* after begin: it covers what the transaction sees */
        for (uint64_t page = 0; page < FIRST_PAGE; page++)
            if (read_at(marks, page * marks->info.page_size, meta_out, META_SIZE) &&
                rf_load_u64(meta_out + META_TXN_AT) == rf_kv_txn_id(txn)) {
                *txn_out = txn;
                return RF_OK;
            }
        rf_kv_abort(txn);
    }
    return rf_fail(err, RF_ERR_LOCKED, "it changes too fast to be looked at");
}

rf_status rf_kv_check_pages(rf_kv *kv, rf_err *err)
{
    struct marks marks = {.fd = rf_kv_file(kv)};
    char meta[META_SIZE];
    rf_kv_txn *txn = NULL;

    rf_status status = begin(kv, &marks, &txn, meta, err);
    if (status != RF_OK)
        return status;
    marks.used = calloc(1, (size_t)marks.info.last_page / 8 + 1);
    marks.free_pages = calloc(1, (size_t)marks.info.last_page / 8 + 1);
    marks.pages = malloc(2 * DEPTH_MAX * marks.info.page_size);
    if (!marks.used || !marks.free_pages || !marks.pages)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for a bit a page");
    for (int i = 0; status == RF_OK && i < 2; i++)
        status = walk_table(&marks, meta + META_TABLES_AT + i * TABLE_SIZE, 0, err);
    if (status == RF_OK)
        status = check_free_list(&marks, txn, err);
    rf_kv_abort(txn);
    free(marks.used);
    free(marks.free_pages);
    free(marks.pages);
    return status;
}
