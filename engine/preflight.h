/* What is settled before a rebuild folds anything: the checks against the census, and whether the
 * definition's version may be deployed over the live one. */
#ifndef RF_PREFLIGHT_H
#define RF_PREFLIGHT_H

#include "rebuild/check.h"
#include "resolve.h"

typedef struct rf_preflight {
    rf_arena arena; /* owns what the list points at */
    rf_check_list list;
    int64_t time_last; /* largest event time in the log; RF_TIME_NONE */
} rf_preflight;

/* Checks every definition against the census. RF_OK also when the list refuses. */
rf_status rf_preflight_run(rf_store *store, const rf_resolved *resolved,
                           rf_preflight *preflight_out, rf_err *err);
void rf_preflight_free(rf_preflight *preflight);
/* RF_ERR_REFUSED with the first refusing finding, and how many more there are. */
rf_status rf_preflight_refusal(const rf_preflight *preflight, rf_err *err);

/* RF_ERR_REFUSED for a lower version than the live one's, or the same with other content. */
rf_status rf_preflight_version(rf_store *store, const rf_definition *definition, rf_err *err);

#endif
