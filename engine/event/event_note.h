/* What the log needs of an event before it can decide about it, hashes of its bytes above all.
 *
 * They are taken where the event was read, by the worker that read it: the bytes are in its caches then,
 * and later, when events are handled partition by partition, they lie scattered.
 */
#ifndef RF_EVENT_EVENT_NOTE_H
#define RF_EVENT_EVENT_NOTE_H

#include "event/event.h"

typedef struct rf_event_note {
    uint64_t stream_hash;    /* rf_checksum of the stream's name */
    uint32_t partition_hash; /* rf_partition_hash of it */
    uint32_t fingerprint;    /* rf_event_fingerprint */
    uint64_t source_position; /* the event's */
} rf_event_note;

/* 16 bits of a hash over type, schema, time, data and metadata: what tells most events of one stream and
 * version apart that are not the same. */
uint32_t rf_event_fingerprint(const rf_event *event);
void rf_event_notes_take(const rf_event *events, size_t count, rf_event_note *notes_out);

#endif
