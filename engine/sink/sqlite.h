/* Publishing read models as a SQLite file: written beside, finished, renamed into place.
 *
 * Tables and pointers (refold_published) are made in one go, so all read models of the file are of one
 * publication. Who has the old file open reads the old one on, and the new one after opening the
 * path again. A file that refold did not write, one that has read models which this export lacks, and one with a
 * journal or WAL beside it are not replaced.
 */
#ifndef RF_SINK_SQLITE_H
#define RF_SINK_SQLITE_H

#include "sink/layout.h"

typedef struct rf_sink_sqlite_options {
    bool decimals_text; /* else numbers, and one of more than 15 digits is refused */
    const char *const *names; /* of the tables, one a reader; NULL: the readers' */
    bool replace;       /* also a file of somebody else, or with other read models */
    const rf_run *run;
} rf_sink_sqlite_options;

/* `readers` say in the end what they were at. */
rf_status rf_sink_sqlite(const char *path, rf_reader *const *readers, uint32_t count,
                         const rf_sink_sqlite_options *options, uint64_t *bytes_out, rf_err *err);

#endif
