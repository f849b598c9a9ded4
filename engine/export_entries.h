/* What an export publishes: the read models that are named, and into a database their versions beside them.
 *
 * A read model that has colours is shown by version too: NAME_v3 for NAME@3, the live version as well, so that
 * programs of each release find theirs. The table is the version's; NAME itself shows the live version's, and
 * moves with a flip. Whether versions are shown is known in the database: once they were, they are.
 */
#ifndef RF_EXPORT_ENTRIES_H
#define RF_EXPORT_ENTRIES_H

#include "store/store.h"

typedef struct rf_export_entry {
    char name[80];           /* as it was given, or NAME@VERSION */
    char public_name[80];    /* NAME, or NAME_vVERSION */
    char version_of[64];     /* NAME; "": it is no version */
    uint64_t generation;     /* to be read; 0: what is named */
    uint32_t shows;          /* 1 + the entry of the live version, whose table NAME shows; 0: none */
    uint32_t beside;         /* 1 + the entry of NAME that brought it in; 0: somebody named it */
    bool has_colours;        /* of NAME */
} rf_export_entry;

typedef struct rf_export_entries {
    rf_export_entry *items; /* owned */
    uint32_t count;
} rf_export_entries;

/* `with_versions`: of names without a version. Where some of its versions are named with it, these are all. */
rf_status rf_export_entries_make(rf_store *store, const char *const *names, uint32_t name_count,
                                 uint64_t generation, bool with_versions,
                                 rf_export_entries *entries_out, rf_err *err);
void rf_export_entries_free(rf_export_entries *entries); /* a zeroed one too */

#endif
