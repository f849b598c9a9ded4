/* Makes an LMDB data file at once from entries that are known to be in order, without LMDB: for
 * files that are written once and then only read.
 *
 *     new -> (run_new -> room … -> run_end) by several threads -> finish -> free
 *
 * LMDB keeps a large value on pages of its own, which it calls overflow pages, and refers to them
 * from the tree's leaves. So values can be laid out, numbered and written as they come, by threads
 * that share nothing but the number of the next free page; keys and page numbers are kept, and
 * finish makes the leaves, the branches above them and the two meta pages. Nothing is copied but
 * from the caller to the pages and from the pages to the kernel, and the disk starts early.
 * A value that is small enough to stand in a leaf does so, as LMDB would have it. The layout is
 * that of LMDB 0.9 on machines of 64 bits (its lmdb.h and mdb.c, "Page header", "MDB_node" and
 * "MDB_meta").
 *
 * Memory: a buffer of RF_KV_BULK_BUFFER_BYTES a run while it is open; key and 24 bytes an entry
 * until finish, which is one part in a hundred of values of 8 KiB.
 *
 * Threads: a bulk is shared; a run is confined to one thread; finish and free are alone.
 */
#ifndef RF_BASE_KV_BULK_H
#define RF_BASE_KV_BULK_H

#include "base/bytes.h"

typedef struct rf_kv_bulk rf_kv_bulk;
typedef struct rf_kv_bulk_run rf_kv_bulk_run;

enum { RF_KV_BULK_BUFFER_BYTES = 1 << 20 };

/* Creates the file at `path`, which must not exist, for at most `run_count` runs: all keys of run i
 * are below those of run i + 1. With `over` the file is there and is written over: what it had is
 * lost, and its place on the disk and in the system's cache need not be found again. */
rf_status rf_kv_bulk_new(const char *path, bool over, uint32_t run_count, rf_kv_bulk **bulk_out,
                         rf_err *err);
/* Takes NULL. Without finish the file is left for the caller to remove. */
void rf_kv_bulk_free(rf_kv_bulk *bulk);

/* Begins run `index`; each is begun once at most. */
rf_status rf_kv_bulk_run_new(rf_kv_bulk *bulk, uint32_t index, rf_kv_bulk_run **run_out,
                             rf_err *err);
/* The next entry of a run: keys rise. *room_out has `size` (> 0) bytes, to be filled before the
 * next call. */
rf_status rf_kv_bulk_room(rf_kv_bulk_run *run, rf_slice key, size_t size, char **room_out,
                          rf_err *err);
/* Writes what is left of the run and frees it, also after a failure. Takes NULL. */
rf_status rf_kv_bulk_run_end(rf_kv_bulk_run *run, rf_err *err);

/* Writes the tree over all runs and fsyncs the file: RF_ERR_IO if any write before had failed. */
rf_status rf_kv_bulk_finish(rf_kv_bulk *bulk, uint64_t *size_out, rf_err *err);

#endif
