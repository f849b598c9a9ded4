/* Deltas: the rows of a generation that changed since its base was built, in table `delta` of live/.
 *
 * A generation's delta has a number of its own, under which its entries stand by table and key: an
 * entry is the row as it is now, or a tombstone where the base has a row that is gone. Table 0 has
 * rows by their key; table 1 + i those of index i by their entry in it. A row that is in the delta
 * has its entry in each index there too, with the row again, also where that entry is the base's: so
 * whoever walks an index needs no second look at a delta that may have moved on. Each entry has a
 * checksum over key and row.
 *
 * Entries are written in the transaction that moves the generation's checkpoint. Reading copies what
 * is in a range (rf_delta_take), so no transaction stays open while rows are walked.
 */
#ifndef RF_CATALOG_DELTA_H
#define RF_CATALOG_DELTA_H

#include "base/arena.h"
#include "catalog/catalog.h"

enum { RF_DELTA_ROWS = 0, RF_DELTA_INDEXES = 1 /* and up */ };

typedef struct rf_delta_entry {
    rf_slice key;
    rf_slice row; /* data NULL: a tombstone */
} rf_delta_entry;

/* *entry_out is valid as long as what the transaction reads. */
rf_status rf_delta_get(rf_kv_txn *txn, uint32_t delta, uint32_t table, rf_slice key,
                       rf_delta_entry *entry_out, bool *found_out, rf_err *err);
/* The base's row holds again, or there is none. */
rf_status rf_delta_delete(rf_kv_txn *txn, uint32_t delta, uint32_t table, rf_slice key,
                          rf_err *err);

/* Writes entries of a delta in the order of table and key, from a first one on. Closed before its transaction ends. */
typedef struct rf_delta_writer {
    rf_kv_cursor *cursor;
    uint32_t delta;
    bool behind; /* all that there are, as those of a generation's first move do */
} rf_delta_writer;

rf_status rf_delta_writer_open(rf_kv_txn *txn, uint32_t delta, uint32_t table, rf_slice first,
                               rf_delta_writer *writer_out, rf_err *err);
rf_status rf_delta_write(rf_delta_writer *writer, uint32_t table, const rf_delta_entry *entry,
                         rf_err *err);
void rf_delta_writer_close(rf_delta_writer *writer);

typedef struct rf_delta_range {
    rf_slice from;   /* inclusive; size 0: from the first */
    rf_slice to;     /* exclusive; data NULL: to the last */
    rf_slice prefix; /* size 0: any */
    uint64_t limit;  /* rows that are asked for at most; 0: all */
} rf_delta_range;

/* Entries of a range, copied, in key order. */
typedef struct rf_delta_part {
    rf_delta_entry *entries; /* owned, as all that follows */
    uint32_t count, capacity;
    bool is_cut; /* by the limit: there may be more */
    rf_arena memory;
    /* after split: the first entry of each partition, and the next of the same; count: none */
    uint32_t *first, *next;
} rf_delta_part;

rf_status rf_delta_take(rf_kv_txn *txn, uint32_t delta, uint32_t table,
                        const rf_delta_range *range, rf_delta_part *part_out, rf_err *err);
/* The first entry with key >= `key`; count: none. */
uint32_t rf_delta_seek(const rf_delta_part *part, rf_slice key);
/* So that the entries of table 0 can be walked by partition. */
rf_status rf_delta_split(rf_delta_part *part, uint32_t partitions, rf_err *err);
void rf_delta_part_free(rf_delta_part *part); /* a zeroed one too */

/* A part's entries from *at on, to another delta: up to some MiB, so that the transaction is short. *at gets
 * the first one that is not there yet. */
rf_status rf_delta_put_some(rf_kv_txn *txn, uint32_t delta, uint32_t table, const rf_delta_part *part,
                            uint32_t *at, rf_err *err);
/* Deletes the entries of all deltas that are no known generation's, some thousand a transaction. */
rf_status rf_delta_sweep(rf_catalog *catalog, rf_err *err);

#endif
