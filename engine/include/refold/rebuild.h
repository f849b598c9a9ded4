/* Rebuilding read models: check, fold, emit, seal, gates, swap. */
#ifndef REFOLD_REBUILD_H
#define REFOLD_REBUILD_H

#include "refold/generation.h"
#include "refold/quarantine.h"
#include "refold/store.h"

typedef struct rf_rebuild_options {
    bool all;           /* every live read model; then no projections are named */
    bool no_swap;       /* build and seal, do not make live */
    bool allow_missing; /* checks that find a type or field that never occurred only note it */
    bool dev;           /* accept a lower version, or the same one with other content */
    bool independent;   /* several projections swap one by one instead of together or not at all */
    bool full;          /* fold all, also where the live generation could be gone on from */
    bool if_changed; /* RF_ERR_NOTHING if log and definitions are as the live generations have them
                      */
    uint64_t until;  /* fold up to this position; needs no_swap; 0: the end of the log */
    int64_t until_time; /* with has_until_time: the longest prefix without a later event */
    bool has_until_time;
    uint32_t keep;     /* generations kept after the swap, the live one counted; 0: 3 */
    rf_gate_options gates; /* asked before anything goes live */
    rf_on_error on_error; /* for events that fail */
    uint64_t max_errors;  /* with has_max_errors: past so many events that failed, of one projection,
                             the rebuild fails; else RF_MAX_ERRORS_DEFAULT */
    bool has_max_errors;
    bool ignore_unknown;   /* types without handler are fine also where a projection says that it
                              handles all */
    uint64_t memory_bytes; /* budget of states and buffers; 0: 256 MiB */
    const char *evolution; /* Lua file of renames and upcasters for plugins named by path; NULL */
    rf_run run;
} rf_rebuild_options;

typedef struct rf_rebuilt {
    const char *name;
    uint32_t version;
    uint64_t generation;
    uint64_t position; /* that it is at: further than the rebuild's end where it caught up with events
                          that came meanwhile */
    uint64_t rows;
    bool reused;     /* only what came since the generation before was folded: its base is shared */
    bool merged;     /* or, where that was too much for a delta, merged with it into a new one */
    uint64_t events; /* that made its rows: all that its handlers ever got */
    uint64_t folded; /* of them in this rebuild: all, or where it is `reused` those that came since */
    uint64_t events_without_key; /* that a handler was not given for want of a key */
    uint64_t bytes;              /* of its base files */
    char digest[33];
    bool live;
    uint64_t generation_before; /* 0: none was live */
    uint64_t rows_before;
    uint64_t rows_added, rows_removed; /* against the live one before; keys only */
    uint64_t skipped;     /* events that failed and were left out */
    uint64_t quarantined; /* events that failed and were left out with their keys */
    uint64_t on_record;   /* events left out because rf_skip put them aside */
} rf_rebuilt;

typedef struct rf_finding {
    bool refuses;     /* or only a note */
    const char *text; /* one line */
} rf_finding;

typedef struct rf_timings {
    double load, fold, emit, write, seal,
        swap; /* seconds; fold, emit, write added over the workers */
    double discarded; /* of going on from what is live, where stored rows turned out to tell too little and all was
                       * folded instead; in none of the others */
} rf_timings;

/* A report owns all that it points at. */
typedef struct rf_rebuild_report {
    uint64_t position;
    uint64_t set; /* its generations are; rf_flip_run takes it; 0 where nothing was built */
    uint32_t workers;
    double seconds;
    uint64_t events;        /* in the log up to position */
    uint64_t bytes_decoded; /* stored bytes of the columns that were read */
    rf_timings timings;
    rf_rebuilt *projections;
    uint32_t projection_count;
    rf_finding *findings;
    uint32_t finding_count;
} rf_rebuild_report;

/* Each projection is a path to a plugin or Lua file (it has a '/' or ends in .so or .lua) or the
 * name of a live one. *report_out is set on success, where a check or gate refused (findings; what was
 * built and not swapped), and with RF_ERR_NOTHING (what is live: name, version, generation, position, rows), else NULL; free
 * it. */
RF_API rf_status rf_rebuild(rf_store *store, const char *const *projections,
                            uint32_t projection_count, const rf_rebuild_options *options,
                            rf_rebuild_report **report_out, rf_err *err);
RF_API void rf_rebuild_report_free(rf_rebuild_report *report);

/* One field that a projection reads, and how often the log has it. */
typedef struct rf_check_field {
    const char *type;
    const char *path;
    rf_kind kind;
    bool optional;
    uint64_t events;  /* of the type */
    uint64_t present; /* of these, with the field, not null */
    uint64_t nulls, bools, ints, numbers, texts, arrays, objects; /* its values, by kind */
    bool uncounted;   /* `present` is not known: a type has more fields than are counted */
} rf_check_field;

typedef struct rf_check_report {
    uint64_t position;
    uint64_t events;         /* in the log */
    uint64_t events_handled; /* of types that are handled */
    rf_check_field *fields;
    uint32_t field_count;
    rf_finding *findings;
    uint32_t finding_count;
    bool refused; /* a rebuild would refuse */
    uint64_t bytes_to_read; /* stored, about; as the next from a sample of the log */
    double seconds;         /* that a rebuild would take, about */
    uint32_t workers;       /* on so many: one a processor */
} rf_check_report;

/* What a rebuild would read and trip over; changes nothing. RF_OK also when a rebuild would refuse.
 * `evolution`: as in rf_rebuild_options. */
RF_API rf_status rf_check(rf_store *store, const char *const *projections,
                          uint32_t projection_count, const char *evolution,
                          rf_check_report **report_out, rf_err *err);
RF_API void rf_check_report_free(rf_check_report *report);

#endif
