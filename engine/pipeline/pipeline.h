/* A rebuild of definitions that are loaded: for callers that rebuild the same ones in many stores.
 * See refold/rebuild.h for all else. */
#ifndef RF_PIPELINE_H
#define RF_PIPELINE_H

#include "generation/resolve.h"
#include "refold/rebuild.h"

/* As rf_rebuild of the paths that they were loaded from. `resolved` is borrowed for the call. */
rf_status rf_rebuild_resolved(rf_store *store, const rf_resolved *resolved,
                              const rf_rebuild_options *options, rf_rebuild_report **report_out,
                              rf_err *err);

#endif
