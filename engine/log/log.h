/* The log: the mirror of the source. Opening it, reading it; append.h adds to it.
 *
 * One LMDB environment, tables: segments (partition u16 BE, first position u64 BE -> segment
 * bytes), directory (partition u16 BE -> counts of the partition), streams, census, meta (last
 * position, sources with their marks). HEAD beside it is the witness: (last position, transaction
 * id, checksum), replaced durably after each commit and before the acknowledgement. A log whose
 * last position is below its HEAD is damage; one above it (a crash between the two) renews HEAD at
 * the next open for writing.
 *
 * An rf_log is shared by threads for reading. No read transaction outlives one segment.
 */
#ifndef RF_LOG_LOG_H
#define RF_LOG_LOG_H

#include "base/kv.h"
#include "log/census.h"
#include "log/segment.h"
#include "log/streams.h"

typedef struct rf_log rf_log;

/* `path` is the store's log directory. `create` makes an empty one. */
rf_status rf_log_open(const char *path, uint32_t partitions, bool create, rf_log **log_out,
                      rf_err *err);
void rf_log_close(rf_log *log);
uint32_t rf_log_partitions(const rf_log *log);
rf_kv *rf_log_kv(rf_log *log);
/* The log's directory, as long as the log is open. */
const char *rf_log_path(const rf_log *log);

typedef struct rf_log_info {
    uint64_t position; /* last; 0 while empty */
    uint64_t events;
    uint64_t streams;
    uint64_t segments;
    uint64_t raw_bytes; /* of data and metadata as they came */
    uint64_t bytes;     /* on disk, in use */
} rf_log_info;
rf_status rf_log_get_info(rf_log *log, rf_log_info *info_out, rf_err *err);

/* One partition as it stands. */
typedef struct rf_log_partition {
    uint64_t events;
    uint32_t streams; /* numbers given: all streams have number < this */
    uint32_t segments;
    uint64_t last_position;
    uint64_t raw_bytes;
} rf_log_partition;
rf_status rf_log_get_partition(rf_log *log, uint32_t partition, rf_log_partition *out, rf_err *err);
/* All of them at one moment; `out` has room for as many as there are. */
rf_status rf_log_get_partitions(rf_log *log, rf_log_partition *out, rf_err *err);

enum { RF_LOG_SOURCES_MAX = 1024, RF_LOG_CURSOR_SIZE_MAX = 400 };
/* A source: where events came from, its high-water mark, and its own words for how far it was read
 * (source/feed.h). */
typedef struct rf_log_source {
    char name[64];
    uint32_t number;
    uint64_t mark; /* highest source position; 0: none */
    uint64_t events;
    uint32_t cursor_size; /* 0: none */
    char cursor[RF_LOG_CURSOR_SIZE_MAX + 1]; /* a zero behind it */
} rf_log_source;
/* *sources_out is malloc'ed, the caller frees it. */
rf_status rf_log_sources(rf_log *log, rf_log_source **sources_out, uint32_t *count_out,
                         rf_err *err);

rf_status rf_log_census(rf_log *log, rf_census *census_out, rf_err *err);
/* Names of a partition (see streams.h), in one short transaction. */
rf_status rf_log_names(rf_log *log, uint32_t partition, uint32_t number_end, rf_arena *arena,
                       rf_stream_name **names_out, uint32_t *count_out, rf_err *err);
/* Partition and number of one stream. */
rf_status rf_log_find_stream(rf_log *log, rf_slice name, uint32_t *partition_out,
                             rf_stream_name *out, bool *found_out, rf_err *err);

/* Lets go of the pages of the log that this process has mapped: they stay in the system's cache. For
 * who goes through all of it. */
void rf_log_unload(rf_log *log);

/* What a thread has mapped of the log, about: with a page that is touched, the kernel maps what it has cached around
 * it, up to RF_LOG_MAPPED_AROUND. Confined to the thread. */
#define RF_LOG_MAPPED_AROUND ((uint64_t)2 << 20)
typedef struct rf_log_mapped {
    uint64_t budget; /* bytes, from which on all is let go of */
    uint64_t bytes;
    uint64_t around[16]; /* a bit for each such piece of the file that it touched; in large ones some share a bit */
} rf_log_mapped;
/* It touched `at`, which maps `bytes`, unless that lies in a piece that it touched before. */
void rf_log_touched(rf_log *log, rf_log_mapped *mapped, rf_slice at, uint64_t bytes);

/* The longest prefix of the log without an event later than `time`: its last position (0 if the
 * first event is later). Events without time do not end it. */
rf_status rf_log_position_at_time(rf_log *log, int64_t time, uint64_t *position_out, rf_err *err);

/* Walks one partition's segments in position order, from `from` up to `until` (inclusive). Each
 * step holds a read transaction for one segment only: a segment's view is valid until the next step
 * or close. Merges that happen beside it are seen or not, events come once either way. Confined to
 * one thread. */
typedef struct rf_log_scan rf_log_scan;
rf_status rf_log_scan_open(rf_log *log, uint32_t partition, uint64_t from, uint64_t until,
                           rf_log_scan **scan_out, rf_err *err);
void rf_log_scan_close(rf_log_scan *scan);
/* Restarts on another partition, keeping memory and reader slot. */
rf_status rf_log_scan_restart(rf_log_scan *scan, uint32_t partition, uint64_t from, uint64_t until,
                              rf_err *err);
/* From now on, until it restarts, segments are left out whose lowest and highest stream numbers `wants` refuses; their
 * keys tell these, so they are not opened. `arg` stays as long. */
typedef bool (*rf_log_wants_fn)(const void *arg, uint32_t stream_min, uint32_t stream_max);
void rf_log_scan_only(rf_log_scan *scan, rf_log_wants_fn wants, const void *arg);
/* The position that is wanted next: what was met lies before it. */
uint64_t rf_log_scan_at(const rf_log_scan *scan);

typedef struct rf_log_step {
    rf_segment segment;  /* directory lives in the scan's own arena */
    uint32_t begin, end; /* events [begin, end) of the segment are in range */
} rf_log_step;
/* *found_out false at the end. */
rf_status rf_log_scan_next(rf_log_scan *scan, rf_log_step *step_out, bool *found_out, rf_err *err);

/* Checks every segment, run, count and the census against each other. Calls `report` for each
 * damage (one line) and goes on; RF_ERR_DAMAGED at the end if there was any. */
rf_status rf_log_verify(rf_log *log, void (*report)(void *arg, const rf_err *damage), void *arg,
                        rf_err *err);

#endif
