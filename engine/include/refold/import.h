/* Adding events to a store's log from files of JSON Lines.
 *
 * Events are committed in batches; what was committed is durable when the call returns, whatever it
 * returns. A refused line ends the import: the batches before it stay, none after.
 */
#ifndef REFOLD_IMPORT_H
#define REFOLD_IMPORT_H

#include "refold/store.h"

typedef enum rf_time_unit {
    RF_TIME_UNIT_MS,
    RF_TIME_UNIT_S,
    RF_TIME_UNIT_US,
    RF_TIME_UNIT_NS
} rf_time_unit;

typedef struct rf_import_options {
    const char *source;      /* NULL: "main" */
    const char *const *maps; /* "position=id", "schema=data.class_version" */
    uint32_t map_count;
    bool gaps_allow;
    bool atomic;            /* all files or nothing */
    rf_time_unit time_unit; /* of times that are integers */
    /* For times without offset: "+02:00", "Z" or an IANA name; NULL: refuse them. */
    const char *time_zone;
    rf_run run;
} rf_import_options;

typedef struct rf_import_member {
    char name[64]; /* a top-level member that was not used */
    uint64_t count;
} rf_import_member;
enum { RF_IMPORT_MEMBERS_MAX = 16 };

typedef struct rf_import_summary {
    uint64_t lines; /* events read */
    uint64_t bytes; /* decompressed */
    uint64_t added;
    uint64_t duplicates;
    uint64_t late;
    uint64_t streams;  /* new ones */
    uint64_t position; /* the log's last */
    double seconds;
    rf_import_member members[RF_IMPORT_MEMBERS_MAX];
    uint32_t member_count;
} rf_import_summary;

/* Imports the files in order; "-" is standard input; .zst and .gz are decompressed (recognised by
 * their first bytes). *summary_out is filled also on failure, with what was committed. */
RF_API rf_status rf_import_files(rf_store *store, const char *const *paths, uint32_t path_count,
                                 const rf_import_options *options, rf_import_summary *summary_out,
                                 rf_err *err);

#endif
