/* See arena.h. */
#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_SIZE_MIN = 4096, CHUNK_SIZE_MAX = 1 << 20 };

struct rf_arena_chunk {
    rf_arena_chunk *older;
    size_t size; /* of `bytes` */
    _Alignas(16) char bytes[];
};

void rf_arena_init(rf_arena *arena, size_t bytes_max)
{
    *arena = (rf_arena){.bytes_max = bytes_max};
}

static void free_chunks(rf_arena_chunk *chunk)
{
    while (chunk) {
        rf_arena_chunk *older = chunk->older;
        free(chunk);
        chunk = older;
    }
}

void rf_arena_free(rf_arena *arena)
{
    free_chunks(arena->chunks);
    free_chunks(arena->spare);
    rf_arena_init(arena, arena->bytes_max);
}

void rf_arena_reset(rf_arena *arena)
{
    rf_arena_chunk *kept = arena->chunks;

    if (!kept)
        return;
    free_chunks(kept->older);
    kept->older = NULL;
    if (kept->size > CHUNK_SIZE_MAX) {
        rf_arena_free(arena);
        return;
    }
    arena->bytes = kept->size;
    arena->at = kept->bytes;
    arena->end = kept->bytes + kept->size;
}

void rf_arena_rewind(rf_arena *arena)
{
    rf_arena_chunk *chunk = arena->chunks;

    /* newest first, so the oldest ends in front: chunks are used again in the order of their sizes
     */
    while (chunk) {
        rf_arena_chunk *older = chunk->older;
        if (chunk->size > CHUNK_SIZE_MAX) {
            free(chunk);
        } else {
            chunk->older = arena->spare;
            arena->spare = chunk;
            arena->spare_bytes += chunk->size;
        }
        chunk = older;
    }
    arena->chunks = NULL;
    arena->bytes = 0;
    arena->at = NULL;
    arena->end = NULL;
}

void rf_arena_adopt(rf_arena *arena, rf_arena *from)
{
    rf_arena_chunk **end = &arena->chunks;

    if (!from->chunks)
        return;
    if (!arena->chunks) {
        arena->at = from->at;
        arena->end = from->end;
    }
    while (*end)
        end = &(*end)->older;
    *end = from->chunks;
    arena->bytes += from->bytes;
    from->chunks = NULL;
    from->bytes = 0;
    from->at = NULL;
    from->end = NULL;
}

/* A spare chunk that has the size and with which the arena keeps its limit; what comes before it in
 * the list is let go of, and if `size` is 0 all of it. */
static rf_arena_chunk *take_spare(rf_arena *arena, size_t size)
{
    while (arena->spare) {
        rf_arena_chunk *chunk = arena->spare;
        arena->spare = chunk->older;
        arena->spare_bytes -= chunk->size;
        if (size > 0 && chunk->size >= size && chunk->size <= arena->bytes_max - arena->bytes)
            return chunk;
        free(chunk);
    }
    return NULL;
}

static bool arena_grow(rf_arena *arena, size_t size)
{
    size_t wanted = arena->bytes < CHUNK_SIZE_MIN ? CHUNK_SIZE_MIN : arena->bytes;

    if (wanted > CHUNK_SIZE_MAX)
        wanted = CHUNK_SIZE_MAX;
    if (wanted < size + 16)
        wanted = size + 16;
    if (size > SIZE_MAX - sizeof(rf_arena_chunk) - 16 || arena->bytes > arena->bytes_max ||
        wanted > arena->bytes_max - arena->bytes)
        return false;
    rf_arena_chunk *chunk = wanted <= CHUNK_SIZE_MAX ? take_spare(arena, size + 16) : NULL;
    if (!chunk) {
        if (arena->spare_bytes > arena->bytes_max - arena->bytes - wanted)
            (void)take_spare(arena, 0);
        chunk = malloc(sizeof *chunk + wanted);
        if (!chunk)
            return false;
        chunk->size = wanted;
    }
    chunk->older = arena->chunks;
    arena->chunks = chunk;
    arena->bytes += chunk->size;
    arena->at = chunk->bytes;
    arena->end = chunk->bytes + chunk->size;
    return true;
}

void *rf_arena_alloc(rf_arena *arena, size_t size)
{
    size_t skip = (size_t)(-(uintptr_t)arena->at & 15);

    if (!arena->at || (size_t)(arena->end - arena->at) < skip ||
        (size_t)(arena->end - arena->at) - skip < size) {
        if (!arena_grow(arena, size))
            return NULL;
        skip = (size_t)(-(uintptr_t)arena->at & 15);
    }
    char *piece = arena->at + skip;
    arena->at = piece + size;
    RF_ASSERT(arena->at <= arena->end);
    return piece;
}

char *rf_arena_bytes(rf_arena *arena, size_t size)
{
    if (!arena->at || (size_t)(arena->end - arena->at) < size) {
        if (!arena_grow(arena, size))
            return NULL;
    }
    char *piece = arena->at;
    arena->at += size;
    return piece;
}

rf_slice rf_arena_copy(rf_arena *arena, rf_slice slice)
{
    char *copy = slice.size < SIZE_MAX ? rf_arena_bytes(arena, slice.size + 1) : NULL;

    if (!copy)
        return (rf_slice){NULL, 0};
    if (slice.size)
        memcpy(copy, slice.data, slice.size);
    copy[slice.size] = '\0';
    return (rf_slice){copy, slice.size};
}
