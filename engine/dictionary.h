/* What the parts of a look at the log share: the look, and its workers. Private to dictionary.c and
 * dictionary_segment.c; see dictionary.c. */
#ifndef RF_DICTIONARY_H
#define RF_DICTIONARY_H

#include "types.h"

#include <stdatomic.h>

/* Confined to its thread. */
typedef struct rf_dictionary_worker {
    rf_log_scan *scan;
    rf_codec *codec;
    rf_arena scratch;
    rf_buf path;
    rf_field_values *values; /* by field of the report, as `seen` */
    uint32_t *seen;          /* segment that had columns of the field last */
    uint64_t *streams;       /* by type of the report */
    rf_field_values **targets; /* likewise, for the path at hand */
    uint8_t *bitmaps;        /* of the types that are counted in this turn; by stream number */
    size_t bitmaps_size;
    uint32_t segments;
    size_t mapped; /* bytes of the log that were read since it was last unloaded */
    /* of the segment at hand */
    uint32_t *types;
    uint32_t *stream_numbers;
    int64_t *positions, *schemas, *wide;
    uint32_t *events; /* of the type at hand: its events, in order */
    bool has_positions, has_schemas, has_events;
} rf_dictionary_worker;

typedef struct rf_dictionary {
    /* fixed after start */
    rf_log *log;
    const rf_types *types;
    const rf_run *run;
    uint64_t until;
    uint32_t *order;       /* of partitions */
    uint32_t *field_begin; /* by type of the report */
    rf_dictionary_worker *workers;
    uint32_t worker_count;
    double start;
    /* atomic */
    atomic_uint_fast64_t events_done;
    /* confined to worker 0 */
    double last_progress;
} rf_dictionary;

/* Types of the report that are one type of a segment: one a schema. */
typedef struct rf_entries {
    uint32_t begin, end;
} rf_entries;

/* dictionary_segment.c: what the events of a step tell. Streams are counted of the types `turn`, whose
 * bitmaps have `bitmap_size` bytes each, and fields in the first turn. */
rf_status rf_dictionary_step(const rf_dictionary *dictionary, rf_dictionary_worker *worker,
                             const rf_log_step *step, rf_entries turn, size_t bitmap_size,
                             rf_err *err);

#endif
