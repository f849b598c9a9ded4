/* Commits that readers do not see: one that is just being written, or one whose process died right behind it
 * (see rf_kv_settle). Who looks again and again whether there is something new finds neither change nor rest
 * then: this waits a moment, and settles what stays unseen. Confined to one thread.
 */
#ifndef RF_UNSEEN_H
#define RF_UNSEEN_H

#include "refold/store.h"

typedef struct rf_unseen {
    double since; /* by the clock; 0: everything was seen when it was last looked */
} rf_unseen;

/* Returns at once where all is seen, else after a millisecond. */
rf_status rf_unseen_look(rf_unseen *unseen, rf_store *store, rf_err *err);

#endif
