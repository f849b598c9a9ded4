/* Adding events to a store's log: from files of JSON Lines, from databases, from a program's output.
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
    /* What wrote the source: "eventsourcing", "emmett", "cloudevents", ... (docs/SOURCES.md). NULL: JSON
     * Lines in files; of a database the one whose tables it has. */
    const char *preset;
    const char *query; /* of a database, instead of a preset: SQL whose columns are an event's members */
    const char *table; /* where the preset's events are, where that is not told by the preset */
    const char *decompress; /* of preset eventsourcing: "none", "zlib", "gzip"; NULL, "auto": as it looks */
    const char *cipher_key_env; /* the name of the environment's variable that has the key; NULL: plain */
    bool strict;       /* of PostgreSQL: keeps writers out while it looks how far it may read */
    int64_t wait_ms;   /* for writers that have not committed; 0: a minute; below 0: for ever */
    bool follow;       /* does not end, but waits for more events until it is cancelled */
    bool from_start;   /* of a database: reads what was read before, too */
    const char *exec;  /* a program, run by sh -c, that writes JSON Lines; NULL: none */
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

/* What can be known of a call without opening anything: RF_ERR_USAGE with what does not go together. */
RF_API rf_status rf_import_check(const char *const *sources, uint32_t source_count,
                                 const rf_import_options *options, rf_err *err);
/* Imports the sources in order, and then from `options->exec`. A source is a file's path, whose .zst or
 * .gz is decompressed (recognised by the first bytes); "-", standard input; "sqlite:PATH"; or
 * "postgresql://...". A database is read on from where its last import under this options->source ended.
 * *summary_out is filled also on failure, with what was committed. */
RF_API rf_status rf_import_files(rf_store *store, const char *const *sources,
                                 uint32_t source_count, const rf_import_options *options, rf_import_summary *summary_out,
                                 rf_err *err);
/* The same, into the store at `path`, which is made where there is none, with so many partitions (as
 * rf_store_options): where the import fails and has added nothing, none is left behind. *store_out is open
 * whenever there is a store, also after a failure, and NULL where there is none. */
RF_API rf_status rf_import_create(const char *path, uint32_t partitions,
                                  const char *const *sources, uint32_t source_count,
                                  const rf_import_options *options, rf_store **store_out,
                                  rf_import_summary *summary_out, rf_err *err);

#endif
