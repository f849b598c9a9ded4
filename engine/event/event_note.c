/* See event_note.h. */
#include "event/event_note.h"

#include "base/checksum.h"

uint32_t rf_event_fingerprint(const rf_event *event)
{
    uint64_t hash = (uint64_t)event->time * 0x9e3779b97f4a7c15u + (uint64_t)event->schema;

    hash = (hash ^ hash >> 32) * 0xbf58476d1ce4e5b9u;
    hash ^= event->shape ? event->shape->type_hash : rf_checksum(event->type);
    hash = rf_checksum_seeded(event->data, hash);
    if (event->metadata.data)
        hash = rf_checksum_seeded(event->metadata, hash);
    return (uint32_t)(hash >> 48);
}

void rf_event_notes_take(const rf_event *events, size_t count, rf_event_note *notes_out)
{
    size_t at = 0;

    for (; at + 4 <= count; at += 4) {
        rf_slice names[4];
        uint32_t hashes[4];
        for (unsigned k = 0; k < 4; k++)
            names[k] = events[at + k].stream;
        rf_partition_hash_four(names, hashes);
        for (unsigned k = 0; k < 4; k++)
            notes_out[at + k].partition_hash = hashes[k];
    }
    for (; at < count; at++)
        notes_out[at].partition_hash = rf_partition_hash(events[at].stream);
    for (at = 0; at < count; at++) {
        notes_out[at].stream_hash = rf_checksum(events[at].stream);
        notes_out[at].fingerprint = rf_event_fingerprint(&events[at]);
        notes_out[at].source_position = events[at].source_position;
    }
}
