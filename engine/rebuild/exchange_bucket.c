/* Buckets: the records of a window, by partition of the rows, in chunks that are used again; see
 * exchange.h. */
#include "rebuild/exchange_job.h"

#include <stdlib.h>

void rf_exchange_empty_buckets(rf_exchange_worker *worker)
{
    for (uint32_t i = 0; i < worker->job->partition_count; i++) {
        rf_exchange_bucket *bucket = &worker->buckets[i];
        if (bucket->last) {
            bucket->last->next = worker->free_chunks;
            worker->free_chunks = bucket->first;
        }
        *bucket = (rf_exchange_bucket){0};
    }
}

static void free_chunks(rf_exchange_chunk *chunk)
{
    while (chunk) {
        rf_exchange_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void rf_exchange_free_buckets(rf_exchange_worker *worker)
{
    for (uint32_t i = 0; worker->buckets && i < worker->job->partition_count; i++)
        free_chunks(worker->buckets[i].first);
    free_chunks(worker->free_chunks);
    free(worker->buckets);
}

__attribute__((noinline)) bool rf_exchange_add_chunk(rf_exchange_worker *worker,
                                                     rf_exchange_bucket *bucket, uint32_t size)
{
    rf_exchange_chunk *chunk = worker->free_chunks;

    if (chunk && chunk->size >= size) {
        worker->free_chunks = chunk->next;
    } else {
        uint32_t room = size > worker->job->chunk_size ? size : worker->job->chunk_size;
        chunk = malloc(sizeof *chunk + room);
        if (!chunk)
            return false;
        chunk->size = room;
    }
    chunk->next = NULL;
    if (bucket->last) {
        bucket->last->used = (uint32_t)(bucket->at - bucket->last->bytes);
        bucket->last->next = chunk;
    } else {
        bucket->first = chunk;
    }
    bucket->last = chunk;
    bucket->at = chunk->bytes;
    bucket->end = chunk->bytes + chunk->size;
    return true;
}
