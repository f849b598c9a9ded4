/* LMDB, the only file that knows it: environments with a fixed set of tables, transactions,
 * cursors.
 *
 * Rules kept here as code. Tables are opened once, before any thread uses the environment.
 * No file is opened twice in a process: rf_kv_open gives the same environment again, counted. The
 * map is 1 TiB of address space from the start (REFOLD_MAP_BYTES overrides it, for tests), so it is
 * never resized. No WRITEMAP, no DUPSORT. lock.mdb is preallocated, readers that died are cleared
 * at open. A data file that is shorter than its last page is refused before it is mapped and read, and
 * so are the first pages of a table, when it is first used, that are none which LMDB can walk
 * (kv_check.h). LMDB's return codes are kept as err->cause.
 * What this process may not write is read, as long as it can say so in lock.mdb, or nobody at all can write (mount.h).
 *
 * Threads: an rf_kv is shared. Transactions and cursors are confined to the thread that began them;
 * any thread may begin a read transaction (NOTLS); one write transaction at a time. Slices that
 * reads return are valid until the transaction ends or, in a write transaction, until the next
 * write.
 */
#ifndef RF_BASE_KV_H
#define RF_BASE_KV_H

#include "base/bytes.h"

typedef struct rf_kv rf_kv;
typedef struct rf_kv_txn rf_kv_txn;
typedef struct rf_kv_cursor rf_kv_cursor;

enum { RF_KV_TABLES_MAX = 8, RF_KV_KEY_SIZE_MAX = 511 };

typedef struct rf_kv_options {
    /* Names, literals; none (all NULL) means the unnamed table, as table 0. */
    const char *tables[RF_KV_TABLES_MAX];
    bool create;    /* make it if absent */
    bool immutable; /* `path` is a data file itself (base files), read-only without any lock: only
                       for files that never change again; else a directory */
} rf_kv_options;

rf_status rf_kv_open(const char *path, const rf_kv_options *options, rf_kv **kv_out, rf_err *err);
void rf_kv_close(rf_kv *kv);

typedef struct rf_kv_info {
    uint64_t last_txn_id;
    uint64_t bytes_used; /* pages up to the last one, times page size */
    uint64_t last_page;
    size_t page_size;
    uint32_t table_count;
    const char *map; /* of an immutable file: start of the mapping, for offsets of slices in it;
                        NULL if it is empty */
} rf_kv_info;
void rf_kv_get_info(rf_kv *kv, rf_kv_info *info_out);
/* The same as in the info, for who asks often. */
uint64_t rf_kv_last_txn_id(const rf_kv *kv);
/* The last commit that a read transaction begun now would see. rf_kv_info tells of one already while it
 * is being written: whoever remembers how far it has read has to ask here, before it reads. */
rf_status rf_kv_visible(rf_kv *kv, uint64_t *txn_id_out, rf_err *err);
/* Makes a commit seen whose process died right behind its last write: while others have the environment
 * open, readers see it with the next write only. Who decides by what he reads what is left over, or what
 * to change, calls this first. Waits at most for a commit that is just being written; costs one read
 * transaction where all is seen. */
rf_status rf_kv_settle(rf_kv *kv, rf_err *err);
/* Whether there may be such a commit, or one is just being written. */
rf_status rf_kv_is_settled(rf_kv *kv, bool *settled_out, rf_err *err);
/* Takes pages that were read out of this process' memory, as far as that is possible; those that
 * are still needed come back from the system's cache. For who goes through a large file once. */
void rf_kv_unload(rf_kv *kv);

/* Copies stored bytes that a read transaction gave, which is still open, by reading the file: their
 * pages are not mapped, which costs more than the copy does, and what is not in the system's cache
 * comes in pieces of `stored`'s size instead of single pages. (Order log, one type of 1 %: the system
 * took half of the time.) */
rf_status rf_kv_copy(rf_kv *kv, rf_slice stored, char *to, rf_err *err);
/* From now on the large values that this read transaction and its cursors find are only copied, so finding
 * them maps no page of theirs either: with each page that is touched, the system maps what it has cached as
 * one piece around it, up to 2 MiB. (Order log just imported: 107 instead of 30 MB.) */
void rf_kv_read_copied(rf_kv_txn *txn);

rf_status rf_kv_begin(rf_kv *kv, bool write, rf_kv_txn **txn_out, rf_err *err);
/* Ends the transaction whatever it returns. Durable. */
rf_status rf_kv_commit(rf_kv_txn *txn, rf_err *err);
/* Takes NULL. */
void rf_kv_abort(rf_kv_txn *txn);
/* Ends a read transaction but keeps its reader slot (reset), and begins anew in it (renew): a fresh
 * view at a tenth of the cost. After a reset the transaction may only be renewed or aborted. */
void rf_kv_reset(rf_kv_txn *txn);
rf_status rf_kv_renew(rf_kv_txn *txn, rf_err *err);
/* Id of the transaction: the last commit that a read transaction sees, or the one that a write
 * transaction will be. */
uint64_t rf_kv_txn_id(rf_kv_txn *txn);

/* *found_out false where there is no such key: that is no error. */
rf_status rf_kv_get(rf_kv_txn *txn, uint32_t table, rf_slice key, rf_slice *value_out,
                    bool *found_out, rf_err *err);
rf_status rf_kv_put(rf_kv_txn *txn, uint32_t table, rf_slice key, rf_slice value, rf_err *err);
/* As put, with room for `size` bytes that the caller fills before the next write. */
rf_status rf_kv_put_room(rf_kv_txn *txn, uint32_t table, rf_slice key, size_t size, char **room_out,
                         rf_err *err);
/* RF_OK also if absent. */
rf_status rf_kv_delete(rf_kv_txn *txn, uint32_t table, rf_slice key, rf_err *err);
rf_status rf_kv_count(rf_kv_txn *txn, uint32_t table, uint64_t *count_out, rf_err *err);

typedef enum rf_kv_seek {
    RF_KV_FIRST,
    RF_KV_LAST,
    RF_KV_AT_LEAST,  /* first entry with key >= the given one */
    RF_KV_AT_MOST,   /* last entry with key <= the given one */
    RF_KV_NEXT,
    RF_KV_PREVIOUS,
    RF_KV_HERE, /* where it is */
} rf_kv_seek;

/* LMDB's own list of free pages, for rf_kv_check_pages. */
#define RF_KV_TABLE_FREE (UINT32_MAX - 1)

rf_status rf_kv_cursor_open(rf_kv_txn *txn, uint32_t table, rf_kv_cursor **cursor_out, rf_err *err);
/* Takes NULL. Closed before its transaction ends. */
void rf_kv_cursor_close(rf_kv_cursor *cursor);
/* `key` matters for AT_LEAST and AT_MOST only. *found_out false at the end. `value_out` NULL: where the value lies is
 * not looked at either. */
rf_status rf_kv_cursor_seek(rf_kv_cursor *cursor, rf_kv_seek seek, rf_slice key, rf_slice *key_out,
                            rf_slice *value_out, bool *found_out, rf_err *err);
/* As put_room, in a write transaction: quicker for keys in order, since the page of the one before is at hand.
 * `behind`: the key is above all that the table has; nothing is searched, and pages get full. */
rf_status rf_kv_cursor_put_room(rf_kv_cursor *cursor, rf_slice key, size_t size, bool behind,
                                char **room_out, rf_err *err);

/* The entry that it is at, in a write transaction. Seek then to be at another. */
rf_status rf_kv_cursor_delete(rf_kv_cursor *cursor, rf_err *err);

/* Whether its path still names the file that is open: nobody has removed it, or put another in its place. */
bool rf_kv_is_in_place(const rf_kv *kv);

int rf_kv_file(const rf_kv *kv); /* its descriptor, to read pages; kv's own */

/* Walks every table and LMDB's list of free pages, page by page and without LMDB: RF_ERR_DAMAGED where a page is out of range, no such
 * page as its place wants, is
 * free twice, or is both free and in use, which the next commit would turn into lost data. For
 * verify. */
rf_status rf_kv_check_pages(rf_kv *kv, rf_err *err);

#endif
