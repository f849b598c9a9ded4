/* An import of lines that are in memory; see refold/import.h for the rest. */
#ifndef RF_IMPORT_LINES_H
#define RF_IMPORT_LINES_H

#include "base/bytes.h"
#include "refold/import.h"

/* The lines are borrowed. *summary_out is filled also on failure. */
rf_status rf_import_lines(rf_store *store, rf_slice lines, const rf_import_options *options,
                          rf_import_summary *summary_out, rf_err *err);

#endif
