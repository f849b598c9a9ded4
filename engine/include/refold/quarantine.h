/* What a rebuild left out, and events that are put aside on record.
 *
 * A rebuild stops at an event that it cannot fold, unless its policy says otherwise
 * (rf_rebuild_options.on_error). What it left out is kept with the generation that it built, and
 * obeyed by whatever folds that generation again. A skip puts one event aside for one read model:
 * it is kept in the store by the read model's name, and every rebuild from then on obeys it.
 */
#ifndef REFOLD_QUARANTINE_H
#define REFOLD_QUARANTINE_H

#include "refold/store.h"

/* What becomes of an event that fails: its handler failed, or a value is not of its field's kind. */
typedef enum rf_on_error {
    RF_ON_ERROR_STOP = 0,       /* the rebuild fails */
    RF_ON_ERROR_SKIP = 1,       /* the event is left out: its rows stay as they were before it */
    RF_ON_ERROR_QUARANTINE = 2, /* its whole keys are left out: there are no such rows */
} rf_on_error;

/* Why an event, or its key, is not in a generation. The numbers are part of the format on disk. */
typedef enum rf_cause {
    RF_CAUSE_SKIPPED = 1,     /* it failed, and was left out */
    RF_CAUSE_QUARANTINED = 2, /* it failed, and its keys were left out that can be told */
    RF_CAUSE_ON_RECORD = 3,   /* put aside by rf_skip */
} rf_cause;

typedef struct rf_left_out {
    uint64_t position;
    rf_cause cause;
    rf_slice stream;
    rf_slice type;
    rf_slice reason; /* UTF-8, one line */
} rf_left_out;

enum {
    RF_MAX_ERRORS_DEFAULT = 100,
    RF_MAX_ERRORS_MAX = 1000000,
    RF_SKIP_REASON_SIZE_MAX = 1000, /* bytes */
    RF_SKIPS_MAX = 100000,          /* of one read model */
};

/* One thing that was left out, or will be. */
typedef struct rf_quarantine_item {
    rf_left_out left_out;
    bool pending;   /* put aside after the generation was built: left out by the next rebuild */
    bool withdrawn; /* no longer on record: folded by the next rebuild */
} rf_quarantine_item;

typedef struct rf_quarantine {
    uint64_t generation;   /* 0: none of the read model is live, there are only pending ones */
    uint64_t position;     /* of the generation */
    rf_on_error on_error;  /* that the generation was built with */
    uint64_t skipped;      /* events that failed */
    uint64_t quarantined;  /* events that failed, with their keys */
    uint64_t on_record;    /* events that the generation left out because they are put aside */
    const rf_quarantine_item *items; /* in position order */
    uint32_t item_count;
} rf_quarantine;

/* What generation `number` of `name` (0: the live one) left out, and the skips on record. A
 * quarantine owns all that it points at; free it. RF_ERR_ABSENT where there is neither a generation
 * nor a skip. */
RF_API rf_status rf_quarantine_list(rf_store *store, const char *name, uint64_t number,
                                    const rf_quarantine **quarantine_out, rf_err *err);
RF_API void rf_quarantine_free(const rf_quarantine *quarantine);

/* Puts the event at `position` aside for the read model `name`, which need not exist yet, for good:
 * durable when this returns, obeyed by every rebuild that begins after it. Once more replaces the
 * reason (1 to RF_SKIP_REASON_SIZE_MAX bytes of UTF-8). *known_out: whether there is a read model of
 * that name; may be NULL. RF_ERR_NO_ROW where the log has no such event. */
RF_API rf_status rf_skip(rf_store *store, const char *name, uint64_t position, const char *reason,
                         bool *known_out, rf_err *err);
/* RF_ERR_NO_ROW where it is not put aside. */
RF_API rf_status rf_unskip(rf_store *store, const char *name, uint64_t position, rf_err *err);

#endif
