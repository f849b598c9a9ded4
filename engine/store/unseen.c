/* See unseen.h. */
#include "store/unseen.h"

#include "base/clock.h"
#include "store/store.h"

#include <time.h>

#define WRITTEN_SECONDS 0.2 /* that a commit may take to be written; then its process has died */

rf_status rf_unseen_look(rf_unseen *unseen, rf_store *store, rf_err *err)
{
    rf_kv *log = rf_log_kv(store->log), *catalog = rf_catalog_kv(store->catalog);
    const struct timespec moment = {.tv_nsec = 1000000};
    bool is_seen = false;

    rf_status status = rf_kv_is_settled(log, &is_seen, err);
    if (status == RF_OK && is_seen)
        status = rf_kv_is_settled(catalog, &is_seen, err);
    if (status != RF_OK || is_seen) {
        unseen->since = 0;
        return status;
    }
    double now = rf_clock_seconds();
    if (unseen->since == 0)
        unseen->since = now;
    if (now - unseen->since > WRITTEN_SECONDS) {
        status = rf_kv_settle(log, err);
        if (status == RF_OK)
            status = rf_kv_settle(catalog, err);
    }
    (void)nanosleep(&moment, NULL);
    return status;
}
