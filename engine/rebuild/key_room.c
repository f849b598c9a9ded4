/* See key_room.h. */
#include "rebuild/key_room.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { SLAB_SIZE_MIN = 1 << 16, LARGE_PAGE = 2 << 20 };

void rf_key_room_begin(rf_key_room *room, size_t chunk_size, size_t slab_size_max)
{
    RF_ASSERT(chunk_size > 0 && chunk_size % 64 == 0);
    *room = (rf_key_room){
        .chunk_size = chunk_size,
        .slab_size_max = slab_size_max < LARGE_PAGE ? slab_size_max : LARGE_PAGE,
        .slab_size = SLAB_SIZE_MIN,
    };
}

void rf_key_room_clear(rf_key_room *room)
{
    for (size_t i = 0; i < room->slab_count; i++)
        free(room->slabs[i]);
    room->slab_count = 0;
    room->slab_size = SLAB_SIZE_MIN;
    room->left = 0;
    room->given_back = NULL;
}

void rf_key_room_end(rf_key_room *room)
{
    rf_key_room_clear(room);
    free(room->slabs);
    *room = (rf_key_room){0};
}

/* Twice as large as the one before, up to the maximum. */
static bool add_slab(rf_key_room *room)
{
    size_t wanted = room->slab_size < room->slab_size_max ? room->slab_size : room->slab_size_max;
    size_t size = wanted > room->chunk_size ? wanted : room->chunk_size;

    if (room->slab_count == room->slab_capacity) {
        size_t capacity = room->slab_capacity ? 2 * room->slab_capacity : 16;
        char **slabs = realloc(room->slabs, capacity * sizeof *slabs);
        if (!slabs)
            return false;
        room->slabs = slabs;
        room->slab_capacity = capacity;
    }
    char *slab = aligned_alloc(size % LARGE_PAGE ? 64 : LARGE_PAGE, (size + 63) & ~(size_t)63);
    if (!slab)
        return false;
    if (size % LARGE_PAGE == 0)
        (void)madvise(slab, size, MADV_HUGEPAGE);
    room->slabs[room->slab_count++] = slab;
    room->at = slab;
    room->left = size;
    room->slab_size = 2 * wanted;
    return true;
}

char *rf_key_room_take(rf_key_room *room)
{
    char *chunk = room->given_back;

    RF_ASSERT(room->chunk_size > 0);
    if (chunk) {
        memcpy(&room->given_back, chunk, sizeof room->given_back);
        return chunk;
    }
    if (room->left < room->chunk_size && !add_slab(room))
        return NULL;
    chunk = room->at;
    room->at += room->chunk_size;
    room->left -= room->chunk_size;
    return chunk;
}

void rf_key_room_give_back(rf_key_room *room, char *chunk)
{
    memcpy(chunk, &room->given_back, sizeof room->given_back);
    room->given_back = chunk;
}
