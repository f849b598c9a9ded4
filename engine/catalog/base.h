/* Base files: the immutable LMDB files that hold a generation's rows, as blocks by (partition u16
 * BE, first key).
 *
 * Written once: workers lay out the blocks of a partition each, side by side, and nothing is fsynced
 * until seal. How many files depends on the expected bytes, never on the workers: one up to some
 * 64 MiB, then one per group of partitions. Read without locks, shared by threads; checksums of
 * blocks are verified at first touch.
 */
#ifndef RF_CATALOG_BASE_H
#define RF_CATALOG_BASE_H

#include "base/kv.h"
#include "base/pool.h"
#include "catalog/block.h"

enum { RF_BASE_FILES_MAX = 64, RF_BASE_FILE_BYTES = 64 << 20, RF_BASE_FILE_NAME_SIZE = 32 };

typedef struct rf_base_file {
    char name[RF_BASE_FILE_NAME_SIZE]; /* "base-00.mdb" */
    uint32_t first_partition, last_partition;
    uint64_t size; /* bytes */
} rf_base_file;

typedef struct rf_base_writer rf_base_writer;
/* `dir` exists and has no base files. Those that lie in `spare_dir` (NULL: none) are taken from
 * there and written over. */
rf_status rf_base_writer_new(const char *dir, const char *spare_dir, uint32_t partitions,
                             uint64_t expected_bytes, rf_base_writer **writer_out, rf_err *err);
/* The one file of a secondary table, "index-NN.mdb": its partitions are those of the rows. */
rf_status rf_base_writer_new_index(const char *dir, uint32_t partitions, uint32_t number,
                                   rf_base_writer **writer_out, rf_err *err);
/* The blocks of one partition: begun once, by the thread that then has it to itself; any number of
 * partitions at a time. Freed with the writer. */
typedef struct rf_base_part rf_base_part;
rf_status rf_base_part_begin(rf_base_writer *writer, uint32_t partition, rf_base_part **part_out,
                             rf_err *err);
/* Room for the next block, in key order: filled by the caller before the next call. */
rf_status rf_base_part_room(rf_base_part *part, rf_slice first_key, size_t size, char **room_out,
                            rf_err *err);
rf_status rf_base_part_end(rf_base_part *part, rf_err *err);
/* Once all parts have ended: ends a file and fsyncs it. Each once, on any threads side by side. */
uint32_t rf_base_writer_file_count(const rf_base_writer *writer);
rf_status rf_base_writer_seal_file(rf_base_writer *writer, uint32_t index, rf_base_file *file_out,
                                   rf_err *err);
/* Whether files came from `spare_dir`, which is to be fsynced then before the files are said to be
 * sealed: after a power cut no spare file may be one of those, the next build would write over it. */
bool rf_base_writer_took_spares(const rf_base_writer *writer);
/* Takes NULL; without seal the files are left for the caller to remove with their directory. */
void rf_base_writer_free(rf_base_writer *writer);

typedef struct rf_base rf_base;
/* Refuses files that are missing or of another size. Shared by threads. */
rf_status rf_base_open(const char *dir, uint32_t partitions, const rf_base_file *files,
                       uint32_t count, rf_base **base_out, rf_err *err);
void rf_base_close(rf_base *base);

/* Reads one base; confined to one thread. The rows it gives are valid while it is open. */
typedef struct rf_base_reader rf_base_reader;
rf_status rf_base_reader_open(rf_base *base, rf_base_reader **reader_out, rf_err *err);
void rf_base_reader_close(rf_base_reader *reader);
rf_status rf_base_reader_get(rf_base_reader *reader, rf_slice key, rf_slice *row_out,
                             bool *found_out, rf_err *err);

/* Rows in key order: of one partition, or of all merged (partition RF_BASE_ALL). */
#define RF_BASE_ALL UINT32_MAX
typedef struct rf_base_cursor rf_base_cursor;
rf_status rf_base_cursor_open(rf_base *base, uint32_t partition, rf_slice from,
                              rf_base_cursor **cursor_out, rf_err *err);
void rf_base_cursor_close(rf_base_cursor *cursor);
rf_status rf_base_cursor_next(rf_base_cursor *cursor, rf_slice *key_out, rf_slice *row_out,
                              bool *found_out, rf_err *err);

/* The blocks of one partition as they stand, verified, in key order: valid until close. */
typedef struct rf_base_blocks rf_base_blocks;
rf_status rf_base_blocks_open(rf_base *base, uint32_t partition, rf_base_blocks **blocks_out,
                              rf_err *err);
void rf_base_blocks_close(rf_base_blocks *blocks); /* takes NULL */
rf_status rf_base_blocks_next(rf_base_blocks *blocks, rf_block *block_out, bool *found_out,
                              rf_err *err);

#endif
