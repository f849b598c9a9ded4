/* Publishing read models: their rows into a file or into another database, whole or not at all.
 *
 * What is asked for becomes visible in one step: a file is written beside, fsynced and renamed; a
 * database changes in one transaction, for several read models together. A failure, a kill or a
 * target that goes away in between leaves what was published before, and the next run removes what
 * was left. Rows are those of a reader (refold/read.h): one generation at one position each.
 *
 * docs/PUBLISHING.md has what is made in each target.
 */
#ifndef REFOLD_EXPORT_H
#define REFOLD_EXPORT_H

#include "refold/store.h"

typedef struct rf_export_options {
    const char *format;   /* of a file: "csv", "jsonl", "sqlite"; NULL: by the end of its name */
    uint64_t generation;  /* 0: the live ones; else for one name */
    bool decimals_text;   /* SQLite: decimals as texts; else as numbers of up to 15 digits */
    bool replace;         /* also what this would not replace otherwise: the error says so */
    rf_run run;
} rf_export_options;

/* What became of one read model. */
typedef struct rf_exported {
    const char *name;
    uint64_t generation;
    uint32_t version; /* of the definition */
    uint64_t position;
    uint64_t rows;
    char digest[33];
} rf_exported;

/* A report owns all that it points at. */
typedef struct rf_export_report {
    const char *target; /* as messages name it: no password is in it */
    double seconds;
    uint64_t bytes; /* of a file */
    rf_exported *models;
    uint32_t model_count;
} rf_export_report;

/* `target` is a path, or a URL: sqlite:PATH. RF_ERR_ABSENT if a read model is not live,
 * RF_ERR_USAGE where target and options do not fit, RF_ERR_LOCKED while another export writes the
 * same target. *report_out is set on success only; free it. */
RF_API rf_status rf_export(rf_store *store, const char *const *names, uint32_t name_count,
                           const char *target, const rf_export_options *options,
                           rf_export_report **report_out, rf_err *err);
RF_API void rf_export_report_free(rf_export_report *report);

#endif
