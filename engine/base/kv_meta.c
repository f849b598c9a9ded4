/* See kv_meta.h. Offsets are those of LMDB 0.9 on machines of 64 bits. */
#include "base/kv_meta.h"

#include "base/bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    META_MAGIC_AT = 16,
    META_TABLES_AT = 40, /* of the free pages, then the main one */
    META_TABLE_SIZE = 48,
    META_TABLES = 2,
    META_LAST_PAGE_AT = META_TABLES_AT + META_TABLES * META_TABLE_SIZE,
    META_TXN_AT = META_LAST_PAGE_AT + 8,
    META_SIZE = META_TXN_AT + 8,
    TABLE_FLAGS_AT = 4,
    TABLE_DEPTH_AT = 6,
    TABLE_ROOT_AT = 40,
    PAGE_SIZE_MIN = 512,
    PAGE_SIZE_MAX = 1 << 16,
    DEPTH_MAX = 32, /* LMDB's cursors hold no more */
    TRIES_MAX = 5,
    TRY_PAUSE_NS = 2000000,
};
#define META_MAGIC 0xbeefc0deu

typedef struct kv_meta {
    const char *bytes;
    uint64_t page_size;
    uint64_t last_page;
    uint64_t txn_id;
    bool is_empty; /* no table and no entry */
} kv_meta;

/* Its root has to be a page of the file that is no meta, or none for an empty tree. */
static bool table_makes_sense(const char *table, uint64_t last_page)
{
    uint64_t root = rf_load_u64(table + TABLE_ROOT_AT);
    uint16_t depth = rf_load_u16(table + TABLE_DEPTH_AT);

    if (root == UINT64_MAX)
        return depth == 0;
    return root >= 2 && root <= last_page && depth > 0 && depth <= DEPTH_MAX;
}

/* What holds for both metas. The tables of the older one may be anything: where the write of a
 * commit's meta failed, LMDB puts back nothing but its transaction and last page. */
static bool meta_read(const char bytes[META_SIZE], kv_meta *out)
{
    *out = (kv_meta){
        .bytes = bytes,
        .page_size = rf_load_u32(bytes + META_TABLES_AT),
        .last_page = rf_load_u64(bytes + META_LAST_PAGE_AT),
        .txn_id = rf_load_u64(bytes + META_TXN_AT),
        .is_empty =
            rf_load_u64(bytes + META_TABLES_AT + META_TABLE_SIZE + TABLE_ROOT_AT) == UINT64_MAX,
    };
    return rf_load_u32(bytes + META_MAGIC_AT) == META_MAGIC && out->page_size >= PAGE_SIZE_MIN &&
           out->page_size <= PAGE_SIZE_MAX && (out->page_size & (out->page_size - 1)) == 0;
}

static bool meta_makes_sense(const kv_meta *meta, uint64_t file_size)
{
    const char *tables = meta->bytes + META_TABLES_AT;

    if (meta->last_page < 1 || meta->last_page >= file_size / meta->page_size)
        return false;
    for (size_t i = 0; i < META_TABLES; i++)
        if (!table_makes_sense(tables + i * META_TABLE_SIZE, meta->last_page))
            return false;
    /* Flags of the main table are an order of keys that refold never asks for. */
    return rf_load_u16(tables + META_TABLE_SIZE + TABLE_FLAGS_AT) == 0;
}

/* Commits write the two in turns: even ones the first, odd ones the second. A new file has 0 in
 * both. */
static bool turns_hold(const kv_meta *first, const kv_meta *second)
{
    if (first->txn_id == 0 && second->txn_id == 0)
        return first->is_empty && second->is_empty;
    return first->txn_id % 2 == 0 &&
           (second->txn_id == first->txn_id + 1 || second->txn_id + 1 == first->txn_id);
}

static bool metas_make_sense(int fd, bool sealed)
{
    char bytes[META_SIZE];
    kv_meta first, second;
    struct stat info;

    if (pread(fd, bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return false;
    uint64_t second_at = rf_load_u32(bytes + META_TABLES_AT);
    char other[META_SIZE];
    if (second_at > PAGE_SIZE_MAX ||
        pread(fd, other, sizeof other, (off_t)second_at) != (ssize_t)sizeof other ||
        fstat(fd, &info) != 0) /* after both: another process may commit beside this one */
        return false;
    uint64_t file_size = (uint64_t)info.st_size;
    if (!meta_read(bytes, &first) || !meta_read(other, &second) ||
        first.page_size != second.page_size)
        return false;
    const kv_meta *newest = first.txn_id > second.txn_id ? &first : &second;
    const kv_meta *older = newest == &first ? &second : &first;
    return turns_hold(&first, &second) && meta_makes_sense(newest, file_size) &&
           newest->last_page >= older->last_page &&
           (!sealed || (newest->last_page + 1) * newest->page_size == file_size);
}

rf_status rf_kv_meta_check(const char *path, bool sealed, rf_err *err)
{
    struct stat info;
    bool sense = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return rf_fail_errno(err, "%s: cannot open", path);
    if (fstat(fd, &info) == 0 && info.st_size == 0)
        sense = true;
    /* A commit of another process may be read half: it is looked at again. */
    for (int tries = 0; !sense && tries < TRIES_MAX; tries++) {
        struct timespec pause = {0, tries > 0 ? TRY_PAUSE_NS : 0};
        (void)nanosleep(&pause, NULL);
        sense = metas_make_sense(fd, sealed);
    }
    (void)close(fd);
    return sense
               ? RF_OK
               : rf_fail(err, RF_ERR_DAMAGED,
                         "%s: damaged: what it begins with is not what LMDB writes, or is shorter "
                         "than its last page",
                         path);
}
