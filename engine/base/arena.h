/* A bump allocator: many small pieces, freed together.
 *
 * Memory comes in chunks that grow up to 1 MiB; a larger piece gets a chunk of its own. Pieces stay
 * where they are until the arena is reset or freed. An arena has a limit chosen at start; past it,
 * or without memory, allocation gives NULL. Confined to one thread.
 */
#ifndef RF_BASE_ARENA_H
#define RF_BASE_ARENA_H

#include "base/error.h"

typedef struct rf_arena_chunk rf_arena_chunk;

typedef struct rf_arena {
    rf_arena_chunk *chunks; /* newest first; owned */
    char *at;               /* free bytes of the newest chunk */
    char *end;
    size_t bytes;     /* of all chunks */
    size_t bytes_max;
    rf_arena_chunk *spare; /* from before a rewind, to be used again; owned */
    size_t spare_bytes;    /* together with `bytes` within the limit */
} rf_arena;

void rf_arena_init(rf_arena *arena, size_t bytes_max);
void rf_arena_free(rf_arena *arena);
/* Forgets all pieces; keeps one chunk for the next use. */
void rf_arena_reset(rf_arena *arena);
/* The same, but keeps all chunks: for an arena that is filled as much again, round after round,
 * where new memory costs a page fault each 4 KiB. */
void rf_arena_rewind(rf_arena *arena);
/* Takes over all pieces of `from`, which is empty then. They stay where they are; the limit is not
 * held against them. */
void rf_arena_adopt(rf_arena *arena, rf_arena *from);
/* `size` bytes aligned to 16, not zeroed; NULL past the limit. A size of 0 gives a valid pointer.
 */
void *rf_arena_alloc(rf_arena *arena, size_t size);
/* A copy of `slice` in the arena with a NUL after it; data is NULL past the limit. */
rf_slice rf_arena_copy(rf_arena *arena, rf_slice slice);
/* Bytes that are not aligned, for text; NULL past the limit. */
char *rf_arena_bytes(rf_arena *arena, size_t size);

#endif
