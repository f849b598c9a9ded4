/* What is settled before a rebuild folds anything: the checks against the census, and whether the
 * definition's version may be deployed over the live one. */
#ifndef RF_PREFLIGHT_H
#define RF_PREFLIGHT_H

#include "generation/resolve.h"
#include "rebuild/check.h"

typedef struct rf_preflight {
    rf_arena arena; /* owns what the list points at */
    rf_check_list list;
    uint32_t unknown_first; /* findings from here on are of types without handler */
    int64_t time_last; /* largest event time in the log; RF_TIME_NONE */
} rf_preflight;

typedef struct rf_preflight_options {
    uint64_t until;      /* last position that will be folded */
    bool ignore_unknown; /* types without handler are noted only */
} rf_preflight_options;

/* Checks every definition against the census. RF_OK also when the list refuses. */
rf_status rf_preflight_run(rf_store *store, const rf_resolved *resolved,
                           const rf_preflight_options *options, rf_preflight *preflight_out,
                           rf_err *err);
void rf_preflight_free(rf_preflight *preflight);
/* RF_ERR_REFUSED with the first refusing finding, and how many more there are. `allow_missing`:
 * types and fields that never occurred do not refuse. */
rf_status rf_preflight_refusal(const rf_preflight *preflight, bool allow_missing, rf_err *err);

/* Adds a finding that refuses nothing. */
rf_status rf_preflight_note(rf_preflight *preflight, const char *text, rf_err *err);

/* RF_ERR_REFUSED for a lower version than the live one's, or the same with other content. */
rf_status rf_preflight_version(rf_store *store, const rf_definition *definition, rf_err *err);

#endif
