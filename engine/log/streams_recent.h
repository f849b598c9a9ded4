/* The recent part of a partition's streams: names that were touched or looked up since it was emptied.
 *
 * A hash table with open addressing over entries in an arena, so that entries stay where they are. An
 * import looks into it once for each event and finds next to nothing of it in the caches: so an entry
 * lies in as few of their lines as can hold it, and what a lookup will touch can be asked for before.
 */
#ifndef RF_LOG_STREAMS_RECENT_H
#define RF_LOG_STREAMS_RECENT_H

#include "log/streams.h"

typedef struct rf_streams_found {
    rf_stream stream; /* first: what streams.h hands out is its address */
    uint32_t round;   /* flushes before it was last handed out */
    uint16_t name_size;
    char name[];
} rf_streams_found;

typedef struct rf_streams_slot {
    uint64_t hash;
    rf_streams_found *entry; /* NULL: free */
} rf_streams_slot;

typedef struct rf_streams_recent {
    rf_streams_slot *slots; /* owned; a power of two, at most two thirds taken */
    size_t slot_count;      /* 0 before the first */
    size_t entry_count;
    rf_arena arena; /* entries */
    char *at;       /* free bytes of the arena's newest lines */
    char *end;
} rf_streams_recent;

void rf_streams_recent_init(rf_streams_recent *recent);
/* Forgets all; it may be used again. */
void rf_streams_recent_free(rf_streams_recent *recent);
/* A name that it does not have, last handed out in round 0; NULL without memory. */
rf_streams_found *rf_streams_recent_add(rf_streams_recent *recent, rf_slice name, uint64_t hash,
                                        rf_stream stream);
void rf_streams_recent_prefetch_slot(const rf_streams_recent *recent, uint64_t hash);
void rf_streams_recent_prefetch_entry(const rf_streams_recent *recent, uint64_t hash);

/* NULL if it is not there. */
static inline rf_streams_found *rf_streams_recent_find(const rf_streams_recent *recent,
                                                       rf_slice name, uint64_t hash)
{
    rf_streams_found *found = NULL;

    if (recent->slot_count == 0)
        return NULL;
    size_t at = hash & (recent->slot_count - 1);
    while ((found = recent->slots[at].entry) != NULL) {
        if (recent->slots[at].hash == hash && found->name_size == name.size &&
            memcmp(found->name, name.data, name.size) == 0)
            break;
        at = (at + 1) & (recent->slot_count - 1);
    }
    return found;
}

#endif
