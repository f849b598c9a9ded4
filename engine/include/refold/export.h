/* Publishing read models: their rows into a file or into another database, whole or not at all.
 *
 * What is asked for becomes visible in one step: a file is written beside, fsynced and renamed; a
 * database changes in one transaction, for several read models together. A failure, a kill or a
 * target that goes away in between leaves what was published before, and the next run removes what
 * was left. Rows are those of a reader (refold/read.h): one generation at one position each.
 *
 * docs/PUBLISHING.md has what is made in each target. A Parquet file is written by DuckDB's library, which is loaded for it:
 * from where REFOLD_DUCKDB_LIBRARY says, else as libduckdb.so; without it that is RF_ERR_USAGE.
 */
#ifndef REFOLD_EXPORT_H
#define REFOLD_EXPORT_H

#include "refold/store.h"

typedef enum rf_export_as {
    RF_EXPORT_AS_BEFORE, /* what it was published as; a view where it was not */
    RF_EXPORT_AS_VIEW,
    RF_EXPORT_AS_TABLE,
} rf_export_as;

typedef struct rf_export_options {
    const char *format;   /* of a file: "csv", "jsonl", "parquet", "sqlite"; NULL: by the end of its name */
    uint64_t generation;  /* 0: the live ones; else for one name */
    bool decimals_text;   /* SQLite: decimals as texts; else as numbers of up to 15 digits */
    bool replace;         /* also what this would not replace otherwise: the error says so */
    /* PostgreSQL: */
    const char *schema; /* of the public names; NULL: public */
    rf_export_as as;    /* what the public name is */
    bool changes_only;  /* fail rather than copy all rows */
    bool load_all;      /* copy all rows also where few differ */
    uint32_t wait_readers_s; /* for queries that read what is replaced; 0: 60 */
    uint32_t keep;      /* tables of generations that stay, the published one counted; 0: 2 */
    rf_run run;         /* of its wait_lock_ms: for another export into the same schema */
} rf_export_options;

typedef enum rf_export_way {
    RF_EXPORT_COPIED,  /* all rows */
    RF_EXPORT_CHANGED, /* those that differ from what was published */
    RF_EXPORT_SHOWN,   /* none: a table that had been loaded before is shown */
    RF_EXPORT_SAME,    /* none: these rows were published already */
} rf_export_way;

/* What became of one read model. */
typedef struct rf_exported {
    const char *name; /* of a version NAME@VERSION */
    uint64_t generation;
    uint32_t version; /* of the definition */
    uint64_t position;
    uint64_t rows;
    char digest[33];
    rf_export_way way;
    uint64_t generation_before; /* that was published; 0: none, or unknown */
    uint64_t upserted, deleted; /* rows, of RF_EXPORT_CHANGED */
    const char *note;           /* for people; NULL: none */
} rf_exported;

/* A report owns all that it points at. */
typedef struct rf_export_report {
    const char *target; /* as messages name it, without a password */
    double seconds;
    uint64_t bytes; /* of a file */
    rf_exported *models;
    uint32_t model_count;
} rf_export_report;

/* A name is NAME, or NAME@VERSION, which is called NAME_vVERSION there. Into PostgreSQL a read model that has
 * colours is published with them, and the report has an entry for each.
 * `target` is a path, or a URL: postgresql://… or sqlite:PATH. RF_ERR_ABSENT if a read model is not
 * live, RF_ERR_USAGE where target and options do not fit, RF_ERR_LOCKED while another export writes
 * the same target, RF_ERR_UNREACHABLE where it cannot be reached or what is replaced is in use for
 * that long, RF_ERR_REFUSED where something is in the way that only `replace` takes away.
 * *report_out is set on success only; free it. */
RF_API rf_status rf_export(rf_store *store, const char *const *names, uint32_t name_count,
                           const char *target, const rf_export_options *options,
                           rf_export_report **report_out, rf_err *err);
/* Whether target, options and number of names fit each other, without touching anything: before long
 * work whose result is to be published. */
RF_API rf_status rf_export_check(const char *target, uint32_t name_count,
                                 const rf_export_options *options, rf_err *err);
RF_API void rf_export_report_free(rf_export_report *report);

#endif
