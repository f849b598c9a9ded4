/* Looking for damage in what LMDB itself keeps and does not check; see kv.h and kv_check.h.
 *
 * LMDB's pages have no checksums, and LMDB trusts them: a wrong offset or number ends in SIGSEGV, SIGBUS or a
 * failed assertion inside of it. So the trees are walked here, from the roots that the meta page of the
 * transaction has, with pages that are read and not mapped: each has to be the page that it says, its entries
 * have to lie in it, and no page may be in two places. What that marks as used is held against the list of free
 * pages, where a wrong number shows only when a later commit writes over a page in use. Offsets are those of LMDB
 * 0.9 on machines of 64 bits, without DUPSORT.
 *
 * Before a tree is used the same is asked of its first pages, level by level, and of no more: which is all of them
 * in the catalog and in small stores, and what is near the root in large ones.
 */
#include "base/kv_check.h"

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
    TABLE_FLAGS_AT = 4, /* an order of keys that refold never asks for */
    TABLE_ROOT_AT = 40,
    FIRST_PAGE = 2, /* after the two meta pages */
    DEPTH_MAX = 32, /* LMDB's cursors hold no more */
    TRIES_MAX = 100,
    FIRST_PAGES_MAX = 64, /* of a tree, that are looked at before its first use */
};

struct marks {
    rf_kv_info info;
    int fd;
    bool in_free_list; /* its tree is walked, where LMDB itself expects a branch of one page */
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

/* The first of the pages of a value that has its own; *count_out of them. */
static rf_status read_value_head(const struct marks *marks, uint64_t number, uint64_t size,
                                 uint64_t *count_out, rf_err *err)
{
    char header[PAGE_HEADER_SIZE];

    if (number < FIRST_PAGE || number > marks->info.last_page ||
        !read_at(marks, number * marks->info.page_size, header, sizeof header))
        return fail_page(number, "of a value is none of the file", err);
    *count_out = rf_load_u32(header + PAGE_COUNT_AT);
    if (rf_load_u64(header) != number || rf_load_u16(header + PAGE_FLAGS_AT) != PAGE_OVERFLOW ||
        *count_out * marks->info.page_size < PAGE_HEADER_SIZE + size)
        return fail_page(number, "does not hold the value that it is said to", err);
    return RF_OK;
}

static rf_status take_value(struct marks *marks, uint64_t number, uint64_t size, rf_err *err)
{
    uint64_t count = 0;

    rf_status status = read_value_head(marks, number, size, &count, err);
    return status != RF_OK || take_pages(marks, number, count)
               ? status
               : fail_page(number, "is in two places", err);
}

static rf_status walk_page(struct marks *marks, uint64_t number, unsigned depth, rf_err *err);

static rf_status walk_table(struct marks *marks, const char *table, unsigned depth, rf_err *err)
{
    uint64_t root = rf_load_u64(table + TABLE_ROOT_AT);

    return root == UINT64_MAX ? RF_OK : walk_page(marks, root, depth, err);
}

/* An entry, which lies in its page with its key: of a leaf with its value or what leads there, of a branch with
 * the page of its child. */
struct entry {
    const char *at;
    const char *value;
    size_t room; /* bytes of the page from `value` on */
};

static struct entry entry_of(const char *page, size_t page_size, size_t index)
{
    const char *at = page + rf_load_u16(page + PAGE_HEADER_SIZE + 2 * index);
    const char *value = at + ENTRY_HEADER_SIZE + rf_load_u16(at + ENTRY_KEY_SIZE_AT);

    return (struct entry){at, value, (size_t)(page + page_size - value)};
}

static uint64_t child_of(struct entry entry)
{
    return rf_load_u16(entry.at) | (uint64_t)rf_load_u16(entry.at + 2) << 16 |
           (uint64_t)rf_load_u16(entry.at + ENTRY_FLAGS_AT) << 32;
}

static uint64_t value_size_of(struct entry entry)
{
    return rf_load_u16(entry.at) | (uint64_t)rf_load_u16(entry.at + 2) << 16;
}

static bool is_branch(const char *page)
{
    return rf_load_u16(page + PAGE_FLAGS_AT) == PAGE_BRANCH;
}

/* Whether the entries of a page, which lie in it, rise by key: what LMDB's search counts on. The first of a branch
 * has no key that counts. Keys of the list of free pages are numbers. */
static bool keys_rise(const struct marks *marks, const char *page, size_t count)
{
    rf_slice before = {NULL, 0};

    for (size_t i = is_branch(page) ? 1 : 0; i < count; i++) {
        struct entry entry = entry_of(page, marks->info.page_size, i);
        const char *at = entry.at + ENTRY_HEADER_SIZE;
        rf_slice key = {at, (size_t)(entry.value - at)};
        bool is_first = !before.data;
        if (marks->in_free_list && key.size != sizeof(uint64_t))
            return false;
        if (!is_first && (marks->in_free_list ? rf_load_u64(before.data) >= rf_load_u64(key.data)
                                              : rf_slice_compare(before, key) >= 0))
            return false;
        before = key;
    }
    return true;
}

/* Reads a page of a tree, whose entries lie in it and rise by key; *count_out of them. */
static rf_status read_page(const struct marks *marks, uint64_t number, char *page, size_t *count_out,
                           rf_err *err)
{
    size_t size = marks->info.page_size;

    if (number < FIRST_PAGE || number > marks->info.last_page ||
        !read_at(marks, number * size, page, size))
        return fail_page(number, "of a tree is none of the file", err);
    uint16_t flags = rf_load_u16(page + PAGE_FLAGS_AT);
    size_t lower = rf_load_u16(page + PAGE_LOWER_AT), upper = rf_load_u16(page + PAGE_UPPER_AT);
    size_t least = PAGE_HEADER_SIZE + (flags == PAGE_BRANCH && !marks->in_free_list ? 2 * 2 : 2);
    if (rf_load_u64(page) != number || (flags != PAGE_BRANCH && flags != PAGE_LEAF) ||
        lower < least || lower % 2 != 0 || lower > upper || upper > size)
        return fail_page(number, "is no page of a tree", err);
    for (size_t at = PAGE_HEADER_SIZE; at < lower; at += 2) {
        size_t begin = rf_load_u16(page + at);
        if (begin < upper || begin + ENTRY_HEADER_SIZE > size ||
            begin + ENTRY_HEADER_SIZE + rf_load_u16(page + begin + ENTRY_KEY_SIZE_AT) > size)
            return fail_page(number, "has an entry outside of it", err);
    }
    size_t count = (lower - PAGE_HEADER_SIZE) / 2;
    if (!keys_rise(marks, page, count))
        return fail_page(number, "has entries out of order", err);
    *count_out = count;
    return RF_OK;
}

/* Whether what a leaf says of an entry's value can be. */
static bool is_entry_of_leaf(struct entry entry)
{
    uint16_t flags = rf_load_u16(entry.at + ENTRY_FLAGS_AT);

    return (flags == ENTRY_BIG && entry.room >= 8) ||
           (flags == ENTRY_TABLE && value_size_of(entry) == TABLE_SIZE && entry.room >= TABLE_SIZE &&
            rf_load_u16(entry.value + TABLE_FLAGS_AT) == 0) ||
           (flags == 0 && value_size_of(entry) <= entry.room);
}

static rf_status walk_leaf(struct marks *marks, struct entry entry, uint64_t number, unsigned depth,
                           rf_err *err)
{
    uint16_t flags = rf_load_u16(entry.at + ENTRY_FLAGS_AT);

    if (!is_entry_of_leaf(entry))
        return fail_page(number, "has an entry that is none", err);
    if (flags == ENTRY_BIG)
        return take_value(marks, rf_load_u64(entry.value), value_size_of(entry), err);
    return flags == ENTRY_TABLE ? walk_table(marks, entry.value, depth + 1, err) : RF_OK;
}

static rf_status walk_page(struct marks *marks, uint64_t number, unsigned depth, rf_err *err)
{
    size_t size = marks->info.page_size, count = 0;

    if (depth >= 2 * DEPTH_MAX || !take_pages(marks, number, 1))
        return fail_page(number, "of a tree is none of the file, or in two places", err);
    char *page = marks->pages + depth * size;
    rf_status status = read_page(marks, number, page, &count, err);
    for (size_t i = 0; status == RF_OK && i < count; i++) {
        struct entry entry = entry_of(page, size, i);
        status = is_branch(page) ? walk_page(marks, child_of(entry), depth + 1, err)
                                 : walk_leaf(marks, entry, number, depth, err);
    }
    return status;
}

/* One record of the list: how many, then page numbers, descending. */
static bool is_free_record(const struct marks *marks, rf_slice record)
{
    uint64_t before = UINT64_MAX;

    if (record.size < 8 || rf_load_u64(record.data) > record.size / 8 - 1)
        return false;
    uint64_t count = rf_load_u64(record.data);
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t page = rf_load_u64(record.data + i * 8);
        if (page < FIRST_PAGE || page > marks->info.last_page || page >= before)
            return false;
        before = page;
    }
    return true;
}

static bool take_free_record(struct marks *marks, rf_slice record)
{
    if (!is_free_record(marks, record))
        return false;
    for (uint64_t i = 1; i <= rf_load_u64(record.data); i++) {
        uint64_t page = rf_load_u64(record.data + i * 8);
        if (take_bit(marks->free_pages, page) || (marks->used[page >> 3] >> (page & 7) & 1))
            return false;
    }
    return true;
}

static rf_status fail_free_list(rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED,
                   "the list of free pages is damaged; do not write to it any more");
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
        if (!take_free_record(marks, value)) {
            status = fail_free_list(err);
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
    for (int i = 0; status == RF_OK && i < 2; i++) {
        marks.in_free_list = i == 0;
        status = walk_table(&marks, meta + META_TABLES_AT + i * TABLE_SIZE, 0, err);
    }
    if (status == RF_OK)
        status = check_free_list(&marks, txn, err);
    rf_kv_abort(txn);
    free(marks.used);
    free(marks.free_pages);
    free(marks.pages);
    return status;
}

/* ---- the first pages ---- */

/* Those of one tree, level by level. */
struct first_pages {
    struct marks marks;
    uint64_t numbers[FIRST_PAGES_MAX]; /* to be looked at, nearest the root first */
    size_t count;
    rf_slice name;          /* of the table that is looked for, where this is the tree of names */
    char table[TABLE_SIZE]; /* that */
    bool found;
};

/* In its page, or on pages of its own. */
static rf_status look_at_free_record(const struct marks *marks, struct entry entry, rf_err *err)
{
    uint64_t size = value_size_of(entry), count = 0;

    if (rf_load_u16(entry.at + ENTRY_FLAGS_AT) != ENTRY_BIG)
        return is_free_record(marks, (rf_slice){entry.value, size}) ? RF_OK : fail_free_list(err);
    uint64_t number = rf_load_u64(entry.value);
    rf_status status = read_value_head(marks, number, size, &count, err);
    if (status != RF_OK)
        return status;
    char *record = malloc(size + 1);
    if (!record)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a list of free pages");
    if (!read_at(marks, number * marks->info.page_size + PAGE_HEADER_SIZE, record, size) ||
        !is_free_record(marks, (rf_slice){record, size}))
        status = fail_free_list(err);
    free(record);
    return status;
}

static rf_status look_at_entry(struct first_pages *first, struct entry entry, uint64_t number,
                               rf_err *err)
{
    uint16_t flags = rf_load_u16(entry.at + ENTRY_FLAGS_AT);
    const char *key = entry.at + ENTRY_HEADER_SIZE;
    rf_slice name = {key, (size_t)(entry.value - key)};

    if (!is_entry_of_leaf(entry))
        return fail_page(number, "has an entry that is none", err);
    if (first->marks.in_free_list)
        return look_at_free_record(&first->marks, entry, err);
    if (flags == ENTRY_TABLE && rf_slice_equal(name, first->name)) {
        memcpy(first->table, entry.value, TABLE_SIZE);
        first->found = true;
    }
    return RF_OK;
}

static rf_status look_at_tree(struct first_pages *first, const char *table, rf_err *err)
{
    const struct marks *marks = &first->marks;
    rf_status status = RF_OK;

    first->numbers[0] = rf_load_u64(table + TABLE_ROOT_AT);
    first->count = first->numbers[0] != UINT64_MAX;
    for (size_t at = 0; status == RF_OK && at < first->count; at++) {
        uint64_t number = first->numbers[at];
        size_t count = 0;
        status = read_page(marks, number, marks->pages, &count, err);
        for (size_t i = 0; status == RF_OK && i < count; i++) {
            struct entry entry = entry_of(marks->pages, marks->info.page_size, i);
            if (!is_branch(marks->pages))
                status = look_at_entry(first, entry, number, err);
            else if (first->count < FIRST_PAGES_MAX)
                first->numbers[first->count++] = child_of(entry);
        }
    }
    return status;
}

static rf_status look_at(struct first_pages *first, const char *meta, rf_kv_tree tree, rf_err *err)
{
    const char *free_list = meta + META_TABLES_AT;
    rf_status status;

    first->marks.in_free_list = tree == RF_KV_TREE_FREE;
    if (tree == RF_KV_TREE_FREE)
        return look_at_tree(first, free_list, err);
    status = look_at_tree(first, free_list + TABLE_SIZE, err);
    return status == RF_OK && tree == RF_KV_TREE_TABLE && first->found
               ? look_at_tree(first, first->table, err)
               : status;
}

rf_status rf_kv_check_first_pages(rf_kv *kv, rf_kv_tree tree, const char *table, rf_err *err)
{
    struct first_pages first = {.marks = {.fd = rf_kv_file(kv)}, .name = rf_slice_of(table)};
    char meta[META_SIZE];
    rf_kv_txn *txn = NULL;

    rf_status status = begin(kv, &first.marks, &txn, meta, err);
    if (status != RF_OK)
        return status;
    first.marks.pages = malloc(first.marks.info.page_size);
    status = first.marks.pages ? look_at(&first, meta, tree, err)
                               : rf_fail(err, RF_ERR_MEMORY, "out of memory for a page");
    rf_kv_abort(txn);
    free(first.marks.pages);
    return status;
}
