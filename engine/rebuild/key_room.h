/* Key rooms: memory for the rows of many key tables whose rows have one size.
 *
 * Rows are visited in no order of memory, and the table of one partition is small. So what tables ask
 * for, chunks of rows, is cut from slabs of a megabyte or two, which are asked for in large pages
 * where the system has any. A chunk that is given back goes to the table that asks next; slabs are
 * freed at the end. (Order log, sums by customer: 12 % of a rebuild's processor time.)
 *
 * Confined to one worker at a time. A chunk may be given back to another room than it came from, if
 * both end after the last use of it.
 */
#ifndef RF_REBUILD_KEY_ROOM_H
#define RF_REBUILD_KEY_ROOM_H

#include <stdbool.h>
#include <stddef.h>

typedef struct rf_key_room {
    size_t chunk_size;
    size_t slab_size_max;
    size_t slab_size;   /* of the next */
    size_t left;        /* bytes of the newest slab, */
    char *at;           /* from here on */
    char *given_back;   /* a list: a chunk begins with the address of the next */
    char **slabs;
    size_t slab_count, slab_capacity;
} rf_key_room;

/* Chunks of `chunk_size` bytes, a multiple of 64; slabs have up to `slab_size_max`, or one chunk. */
void rf_key_room_begin(rf_key_room *room, size_t chunk_size, size_t slab_size_max);
/* Frees the slabs: no chunk of them is used any more, in whichever room it is. */
void rf_key_room_clear(rf_key_room *room);
void rf_key_room_end(rf_key_room *room); /* a zeroed one too */
/* Aligned to 64, not cleared; NULL without memory. */
char *rf_key_room_take(rf_key_room *room);
void rf_key_room_give_back(rf_key_room *room, char *chunk);

#endif
