/* The events of one partition that are in no finished segment yet: those of the block at hand and
 * those in the open segment builder. Duplicates among them are found here.
 *
 * Entries are appended in order; the index is only made when somebody looks, so a log without
 * duplicates pays for appending to an array. Bounded by a block and a segment. Confined to the task
 * that handles the partition.
 */
#ifndef RF_LOG_APPEND_RECENT_H
#define RF_LOG_APPEND_RECENT_H

#include "log/identity.h"

typedef struct rf_recent_event {
    int64_t version;
    uint64_t source_position;
    uint32_t stream;
    uint32_t source;
    uint32_t fingerprint;
    uint32_t block_index; /* of the event in the block at hand; RF_RECENT_BUILT: in the builder */
} rf_recent_event;
#define RF_RECENT_BUILT UINT32_MAX

typedef struct rf_recent {
    rf_recent_event *events; /* the built ones first; owned */
    uint32_t count;
    uint32_t room;
    uint32_t indexed;             /* events [0, indexed) are in the index */
    uint32_t *slots;              /* by version and by source, one after the other; owned */
    uint32_t slot_count;          /* of one */
    uint64_t source_position_max; /* of the block at hand; ids are none */
} rf_recent;

void rf_recent_free(rf_recent *recent);
rf_status rf_recent_add(rf_recent *recent, const rf_recent_event *event, rf_err *err);
/* NULL in *event_out if there is none. */
rf_status rf_recent_find(rf_recent *recent, const rf_identity_key *key,
                         const rf_recent_event **event_out, rf_err *err);
/* The builder was finished: forgets its events, keeps those of the block. */
void rf_recent_built_done(rf_recent *recent);

#endif
