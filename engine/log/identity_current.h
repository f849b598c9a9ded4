/* The stored segment that events are compared with: a copy of its bytes, so that it outlives the
 * transaction, with what comparing needs of it decoded. Part of identity.c; confined as it is.
 *
 * init -> (load -> same ...) again and again -> free
 */
#ifndef RF_LOG_IDENTITY_CURRENT_H
#define RF_LOG_IDENTITY_CURRENT_H

#include "event/event.h"
#include "log/segment.h"

typedef struct rf_identity_current {
    rf_segment segment; /* count 0: none */
    char *bytes;        /* owned copy */
    rf_arena arena;
    int64_t *positions;
    int64_t *types;
    int64_t *schemas;
    int64_t *times;
    uint32_t next; /* index behind the last that was compared */
    rf_payload_reader *reader;
} rf_identity_current;

void rf_identity_current_init(rf_identity_current *now);
void rf_identity_current_clear(rf_identity_current *now);
void rf_identity_current_free(rf_identity_current *now);
rf_status rf_identity_current_load(rf_identity_current *now, rf_slice bytes, rf_err *err);
/* Whether the position lies in it. */
bool rf_identity_current_holds(const rf_identity_current *now, uint64_t position);
/* Whether the event at `position` has the same type, schema, time, data and metadata. */
rf_status rf_identity_current_same(rf_identity_current *now, uint64_t position,
                                   const rf_event *event, bool *same_out, rf_err *err);

#endif
