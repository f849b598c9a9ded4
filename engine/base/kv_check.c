/* Looking for damage in what LMDB itself keeps and does not check; see rf_kv_check_pages in kv.h.
 *
 * LMDB's pages have no checksums. Damage in the trees shows when they are walked, but a wrong
 * number in the list of free pages shows only when a later commit writes over a page in use. So the
 * pages of all entries are marked, by where their keys and values lie (each page begins with its
 * number), and the list of free pages is held against the marks. Pages inside the trees that hold
 * no entries cannot be seen this way.
 */
#include "base/kv.h"

#include <stdlib.h>

enum {
    PAGE_FLAGS_AT = 10, /* u16, after the page's number and padding */
    PAGE_OVERFLOW = 4,
    PAGE_HEADER_SIZE = 16,
    FIRST_PAGE = 2, /* after the two meta pages */
};

struct marks {
    rf_kv_info info;
    uint8_t *used; /* a bit a page */
    uint8_t *free_pages;
};

static bool take_bit(uint8_t *bits, uint64_t index)
{
    bool was = (bits[index >> 3] >> (index & 7)) & 1;

    bits[index >> 3] = (uint8_t)(bits[index >> 3] | (1u << (index & 7)));
    return was;
}

static const char *page_of(const struct marks *marks, const char *at)
{
    return at - (uintptr_t)at % marks->info.page_size;
}

/* Marks the page that holds `at` and, where a value has pages of its own, all of them. */
static bool mark(struct marks *marks, rf_slice at, bool is_value)
{
    const char *page = page_of(marks, at.data);
    uint64_t number = rf_load_u64(page);
    uint64_t count = 1;

    if (is_value && (rf_load_u16(page + PAGE_FLAGS_AT) & PAGE_OVERFLOW))
        count = (PAGE_HEADER_SIZE + at.size + marks->info.page_size - 1) / marks->info.page_size;
    if (number < FIRST_PAGE || number > marks->info.last_page ||
        count > marks->info.last_page - number + 1)
        return false;
    for (uint64_t i = 0; i < count; i++)
        (void)take_bit(marks->used, number + i);
    return true;
}

static rf_status mark_table(struct marks *marks, rf_kv_txn *txn, uint32_t table, rf_err *err)
{
    rf_kv_cursor *cursor;
    rf_slice key = {"", 0};
    rf_slice value;
    bool found = false;

    rf_status status = rf_kv_cursor_open(txn, table, &cursor, err);
    if (status != RF_OK)
        return status;
    rf_kv_seek seek = RF_KV_FIRST;
    for (;; seek = RF_KV_NEXT) {
        status = rf_kv_cursor_seek(cursor, seek, key, &key, &value, &found, err);
        if (status != RF_OK || !found)
            break;
        if (!mark(marks, key, false) || !mark(marks, value, true)) {
            status = rf_fail(err, RF_ERR_DAMAGED, "a page has the number of another");
            break;
        }
    }
    rf_kv_cursor_close(cursor);
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

rf_status rf_kv_check_pages(rf_kv *kv, rf_err *err)
{
    struct marks marks = {0};
    rf_kv_txn *txn = NULL;

    rf_status status = rf_kv_begin(kv, false, &txn, err);
    if (status != RF_OK)
        return status;
    rf_kv_get_info(kv, &marks.info); /* after begin: it covers what the transaction sees */
    marks.used = calloc(1, (size_t)marks.info.last_page / 8 + 1);
    marks.free_pages = calloc(1, (size_t)marks.info.last_page / 8 + 1);
    if (!marks.used || !marks.free_pages)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for a bit a page");
    if (status == RF_OK)
        status = mark_table(&marks, txn, RF_KV_TABLE_FREE, err);
    if (status == RF_OK)
        status = mark_table(&marks, txn, RF_KV_TABLE_MAIN, err);
    for (uint32_t i = 0; status == RF_OK && i < marks.info.table_count; i++)
        status = mark_table(&marks, txn, i, err);
    if (status == RF_OK)
        status = check_free_list(&marks, txn, err);
    rf_kv_abort(txn);
    free(marks.used);
    free(marks.free_pages);
    return status;
}
