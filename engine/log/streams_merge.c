/* See streams_merge.h. */
#include "log/streams_merge.h"

#include <stdlib.h>

enum { COPY_BYTES_MAX = 1 << 20 };

void rf_streams_key(char key_out[RF_STREAMS_KEY_SIZE], uint32_t partition, uint64_t run,
                    uint32_t part)
{
    RF_ASSERT(partition <= UINT16_MAX);
    rf_store_u16_be(key_out, (uint16_t)partition);
    rf_store_u64_be(key_out + 2, run);
    rf_store_u32(key_out + 10, __builtin_bswap32(part));
}

/* What a walk over the parts expects next. */
typedef struct part_walk {
    uint64_t run;
    uint32_t next_part;
    bool in_run; /* the last part of `run` is still to come */
} part_walk;

static rf_status walk_step(part_walk *walk, uint32_t partition, rf_slice key, rf_slice bytes,
                           rf_err *err)
{
    if (key.size != RF_STREAMS_KEY_SIZE)
        return rf_fail(err, RF_ERR_DAMAGED, "stream names of partition %u: a key of %zu bytes",
                       partition, key.size);
    uint64_t run = rf_load_u64_be(key.data + 2);
    uint32_t number = __builtin_bswap32(rf_load_u32(key.data + 10));
    rf_streams_part part;
    rf_status status = rf_streams_part_open(bytes, partition, true, &part, err);
    if (status != RF_OK)
        return status;
    bool fits = walk->in_run ? run == walk->run && number == walk->next_part : number == 0;
    if (!fits || part.part != number)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "stream names of partition %u: part %u of run %llu is not where it belongs",
                       partition, number, (unsigned long long)run);
    *walk = (part_walk){run, number + 1, !part.last};
    return RF_OK;
}

rf_status rf_streams_each_part(rf_kv_txn *txn, uint32_t table, uint32_t partition,
                               rf_streams_part_visit visit, void *arg, rf_err *err)
{
    rf_kv_cursor *cursor = NULL;
    part_walk walk = {0};
    char first[RF_STREAMS_KEY_SIZE];
    rf_slice key = {first, sizeof first};
    rf_slice bytes;
    bool found = false;

    rf_status status = rf_kv_cursor_open(txn, table, &cursor, err);
    if (status != RF_OK)
        return status;
    rf_streams_key(first, partition, 0, 0);
    status = rf_kv_cursor_seek(cursor, RF_KV_AT_LEAST, key, &key, &bytes, &found, err);
    while (status == RF_OK && found && key.size >= 2 && rf_load_u16_be(key.data) == partition) {
        status = walk_step(&walk, partition, key, bytes, err);
        if (status == RF_OK)
            status = visit(arg, walk.run, bytes, err);
        if (status == RF_OK)
            status = rf_kv_cursor_seek(cursor, RF_KV_NEXT, key, &key, &bytes, &found, err);
    }
    rf_kv_cursor_close(cursor);
    if (status == RF_OK && walk.in_run)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "stream names of partition %u: run %llu lacks its part %u", partition,
                       (unsigned long long)walk.run, walk.next_part);
    return status;
}

typedef struct run_list {
    rf_streams_run *runs;
    uint32_t count;
    uint32_t capacity;
    uint32_t partition;
} run_list;

/* One more part, of a new run or of the last one. */
static rf_status list_add(run_list *list, uint64_t run, uint64_t entries, rf_err *err)
{
    if (list->count == 0 || list->runs[list->count - 1].id != run) {
        if (list->count == list->capacity) {
            uint32_t capacity = list->capacity ? 2 * list->capacity : 32;
            rf_streams_run *runs = realloc(list->runs, capacity * sizeof *runs);
            if (!runs)
                return rf_fail(err, RF_ERR_MEMORY, "stream names: out of memory for %u runs",
                               capacity);
            list->runs = runs;
            list->capacity = capacity;
        }
        list->runs[list->count++] = (rf_streams_run){.id = run};
    }
    list->runs[list->count - 1].entries += entries;
    list->runs[list->count - 1].parts++;
    return RF_OK;
}

static rf_status list_part(void *arg, uint64_t run, rf_slice bytes, rf_err *err)
{
    run_list *list = arg;
    rf_streams_part part;

    rf_status status = rf_streams_part_open(bytes, list->partition, true, &part, err);
    return status == RF_OK ? list_add(list, run, part.entries, err) : status;
}

static rf_status list_key(run_list *list, rf_slice key, rf_err *err)
{
    if (key.size != RF_STREAMS_KEY_SIZE)
        return rf_fail(err, RF_ERR_DAMAGED, "stream names of partition %u: a key of %zu bytes",
                       list->partition, key.size);
    rf_status status = list_add(list, rf_load_u64_be(key.data + 2), 0, err);
    uint32_t number = __builtin_bswap32(rf_load_u32(key.data + 10));
    if (status == RF_OK && number != list->runs[list->count - 1].parts - 1)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "stream names of partition %u: part %u of run %llu is not where it belongs",
                       list->partition, number,
                       (unsigned long long)list->runs[list->count - 1].id);
    return status;
}

rf_status rf_streams_runs(rf_kv_txn *txn, uint32_t table, uint32_t partition,
                          rf_streams_run **runs_out, uint32_t *count_out, rf_err *err)
{
    run_list list = {.partition = partition};

    rf_status status = rf_streams_each_part(txn, table, partition, list_part, &list, err);
    if (status != RF_OK) {
        free(list.runs);
        return status;
    }
    *runs_out = list.runs;
    *count_out = list.count;
    return RF_OK;
}

rf_status rf_streams_run_ids(rf_kv_txn *txn, uint32_t table, uint32_t partition,
                             rf_streams_run **runs_out, uint32_t *count_out, rf_err *err)
{
    run_list list = {.partition = partition};
    rf_kv_cursor *cursor = NULL;
    char first[RF_STREAMS_KEY_SIZE];
    rf_slice key = {first, sizeof first};
    rf_slice bytes;
    bool found = false;

    rf_status status = rf_kv_cursor_open(txn, table, &cursor, err);
    if (status != RF_OK)
        return status;
    rf_streams_key(first, partition, 0, 0);
    status = rf_kv_cursor_seek(cursor, RF_KV_AT_LEAST, key, &key, &bytes, &found, err);
    while (status == RF_OK && found && key.size >= 2 && rf_load_u16_be(key.data) == partition) {
        status = list_key(&list, key, err);
        if (status == RF_OK)
            status = rf_kv_cursor_seek(cursor, RF_KV_NEXT, key, &key, &bytes, &found, err);
    }
    rf_kv_cursor_close(cursor);
    if (status != RF_OK) {
        free(list.runs);
        return status;
    }
    *runs_out = list.runs;
    *count_out = list.count;
    return RF_OK;
}

rf_status rf_streams_load_part(rf_kv_txn *txn, uint32_t table, uint32_t partition, uint64_t run,
                               uint32_t number, bool checked, rf_streams_part *part_out,
                               rf_err *err)
{
    char key[RF_STREAMS_KEY_SIZE];
    rf_slice bytes;
    bool found = false;

    rf_streams_key(key, partition, run, number);
    rf_status status = rf_kv_get(txn, table, (rf_slice){key, sizeof key}, &bytes, &found, err);
    if (status != RF_OK)
        return status;
    if (!found)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "stream names of partition %u: run %llu lacks its part %u", partition,
                       (unsigned long long)run, number);
    return rf_streams_part_open(bytes, partition, checked, part_out, err);
}

static rf_status load_part(const rf_streams_merge_state *merge, uint64_t run, uint32_t number,
                           bool checked, rf_streams_part *part_out, rf_err *err)
{
    return rf_streams_load_part(merge->txn, merge->table, merge->partition, run, number, checked,
                                part_out, err);
}

/* The next part that a reader reads. */
static rf_status reader_load(const rf_streams_merge_state *merge, rf_streams_reader *reader,
                             uint32_t number, rf_err *err)
{
    char key[RF_STREAMS_KEY_SIZE];
    rf_slice bytes;
    bool found = false;

    if (!merge->copy_from)
        return load_part(merge, reader->run, number, false, &reader->part, err);
    rf_streams_key(key, merge->partition, reader->run, number);
    rf_status status =
        rf_kv_get(merge->txn, merge->table, (rf_slice){key, sizeof key}, &bytes, &found, err);
    if (status != RF_OK)
        return status;
    if (!found)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "stream names of partition %u: run %llu lacks its part %u",
                       merge->partition, (unsigned long long)reader->run, number);
    rf_buf_clear(&reader->copy);
    char *room = rf_buf_reserve(&reader->copy, bytes.size);
    if (!room)
        return rf_buf_check(&reader->copy, "a part of stream names", err);
    status = rf_kv_copy(merge->copy_from, bytes, room, err);
    if (status == RF_OK)
        status = rf_streams_part_open((rf_slice){room, bytes.size}, merge->partition, false,
                                      &reader->part, err);
    if (status == RF_OK && reader->part.part != number)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "stream names of partition %u: part %u of run %llu is not where it belongs",
                       merge->partition, number, (unsigned long long)reader->run);
    return status;
}

/* The eight bytes of the name behind what all names share, as a number that orders like them. */
static uint64_t key_of(const rf_streams_reader *reader, uint32_t shared)
{
    uint32_t size = reader->entry.name_size;

    if (size <= shared)
        return 0;
    uint64_t key = __builtin_bswap64(rf_load_u64(reader->name + shared));
    uint32_t rest = size - shared;
    return rest >= sizeof key ? key : key >> (64 - 8 * rest) << (64 - 8 * rest);
}

static rf_status reader_next_block(const rf_streams_merge_state *merge, rf_streams_reader *reader,
                                   rf_err *err)
{
    rf_slice entries;

    if (reader->next_block == reader->part.block_count) {
        if (reader->part.last) {
            reader->ended = true;
            return RF_OK;
        }
        rf_status status = reader_load(merge, reader, reader->part.part + 1, err);
        if (status != RF_OK)
            return status;
        reader->next_block = 0;
    }
    rf_status status = rf_streams_part_block(&reader->part, reader->next_block, &entries, err);
    if (status != RF_OK)
        return status;
    reader->next_block++;
    reader->at = entries.data;
    reader->end = entries.data + entries.size;
    reader->entry.name_size = 0;
    return RF_OK;
}

static rf_status reader_next(const rf_streams_merge_state *merge, uint32_t index, rf_err *err)
{
    rf_streams_reader *reader = &merge->readers[index];

    RF_ASSERT(!reader->ended);
    if (reader->at == reader->end) {
        rf_status status = reader_next_block(merge, reader, err);
        if (reader->ended)
            merge->keys[index] = UINT64_MAX;
        if (status != RF_OK || reader->ended)
            return status;
    }
    if (!rf_streams_entry_read(&reader->at, reader->end, reader->name, reader->name,
                               &reader->entry) ||
        reader->entry.name_size == 0)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "stream names of partition %u: an entry of run %llu that cannot be",
                       merge->partition, (unsigned long long)reader->run);
    if (merge->count > 1)
        merge->keys[index] = key_of(reader, merge->shared);
    return RF_OK;
}

static uint32_t shared_with(rf_slice a, const char *b, size_t size)
{
    uint32_t shared = 0;

    while (shared < a.size && shared < size && a.data[shared] == b[shared])
        shared++;
    return shared;
}

/* All names lie between the smallest first and the greatest last name, so they share what all
 * first and last names share. */
static rf_status find_shared(rf_streams_merge_state *merge, const rf_streams_run *runs, rf_err *err)
{
    char name[RF_STREAMS_NAME_BUFFER];
    uint32_t size = 0;
    rf_streams_part part;
    rf_slice first = rf_streams_part_first(&merge->readers[0].part, 0);

    merge->shared = (uint32_t)first.size;
    for (uint32_t i = 0; i < merge->count; i++) {
        const rf_streams_reader *reader = &merge->readers[i];
        rf_slice other = rf_streams_part_first(&reader->part, 0);
        uint32_t shared = shared_with(first, other.data, other.size);
        merge->shared = shared < merge->shared ? shared : merge->shared;
        uint32_t last = runs[merge->count - 1 - i].parts - 1;
        rf_status status = load_part(merge, reader->run, last, false, &part, err);
        if (status == RF_OK)
            status = rf_streams_part_last_name(&part, name, &size, err);
        if (status != RF_OK)
            return status;
        shared = shared_with(first, name, size);
        merge->shared = shared < merge->shared ? shared : merge->shared;
    }
    return RF_OK;
}

rf_status rf_streams_merge_open(rf_streams_merge_state *merge, rf_kv_txn *txn, uint32_t table,
                                uint32_t partition, const rf_streams_run *runs, uint32_t count,
                                rf_err *err)
{
    return rf_streams_merge_open_copied(merge, NULL, txn, table, partition, runs, count, err);
}

rf_status rf_streams_merge_open_copied(rf_streams_merge_state *merge, rf_kv *kv, rf_kv_txn *txn,
                                       uint32_t table, uint32_t partition,
                                       const rf_streams_run *runs, uint32_t count, rf_err *err)
{
    RF_ASSERT(count > 0);
    *merge = (rf_streams_merge_state){.txn = txn,
                                      .copy_from = kv,
                                      .count = count,
                                      .current = count,
                                      .table = table,
                                      .partition = partition};
    merge->readers = calloc(count, sizeof *merge->readers);
    merge->keys = calloc(count, sizeof *merge->keys);
    if (!merge->readers || !merge->keys)
        return rf_fail(err, RF_ERR_MEMORY, "stream names: out of memory for %u runs", count);
    for (uint32_t i = 0; i < count; i++) {
        rf_streams_reader *reader = &merge->readers[i];
        reader->run = runs[count - 1 - i].id;
        rf_buf_init(&reader->copy, COPY_BYTES_MAX);
        rf_status status = reader_load(merge, reader, 0, err);
        if (status != RF_OK)
            return status;
    }
    rf_status status = count > 1 ? find_shared(merge, runs, err) : RF_OK;
    for (uint32_t i = 0; i < count && status == RF_OK; i++)
        status = reader_next(merge, i, err);
    return status;
}

void rf_streams_merge_free(rf_streams_merge_state *merge)
{
    for (uint32_t i = 0; merge->readers && i < merge->count; i++)
        rf_buf_free(&merge->readers[i].copy);
    free(merge->readers);
    free(merge->keys);
    *merge = (rf_streams_merge_state){0};
}

static rf_slice reader_name(const rf_streams_reader *reader)
{
    return (rf_slice){reader->name, reader->entry.name_size};
}

/* The smallest name among readers of equal key; of equal names the newest reader's. */
static uint32_t pick_among_equal(const rf_streams_merge_state *merge, uint64_t key)
{
    uint32_t best = merge->count;

    for (uint32_t i = 0; i < merge->count; i++) {
        const rf_streams_reader *reader = &merge->readers[i];
        if (merge->keys[i] != key || reader->ended)
            continue;
        if (best == merge->count ||
            rf_slice_compare(reader_name(reader), reader_name(&merge->readers[best])) < 0)
            best = i;
    }
    return best;
}

/* Steps over the current name in every reader that has it; the current one comes last, because the
 * others are compared with its name. */
static rf_status step_over(rf_streams_merge_state *merge, bool *renumbered_out, rf_err *err)
{
    rf_streams_reader *current = &merge->readers[merge->current];
    uint64_t key = merge->keys[merge->current];

    for (uint32_t i = 0; merge->tied && i < merge->count; i++) {
        rf_streams_reader *reader = &merge->readers[i];
        if (i == merge->current || merge->keys[i] != key || reader->ended ||
            !rf_slice_equal(reader_name(reader), reader_name(current)))
            continue;
        if (reader->entry.number != current->entry.number && renumbered_out)
            *renumbered_out = true;
        rf_status status = reader_next(merge, i, err);
        if (status != RF_OK)
            return status;
    }
    return reader_next(merge, merge->current, err);
}

rf_status rf_streams_merge_next(rf_streams_merge_state *merge, bool *found_out,
                                bool *renumbered_out, rf_err *err)
{
    uint64_t best_key = UINT64_MAX;
    uint32_t best = 0;
    uint32_t equal = 0;

    if (renumbered_out)
        *renumbered_out = false;
    if (merge->count == 1) { /* nothing to compare: what an import leaves, mostly */
        rf_status status =
            merge->current < 1 && !merge->readers[0].ended ? reader_next(merge, 0, err) : RF_OK;
        merge->current = 0;
        *found_out = !merge->readers[0].ended;
        return status;
    }
    if (merge->current < merge->count) {
        rf_status status = step_over(merge, renumbered_out, err);
        if (status != RF_OK)
            return status;
    }
    for (uint32_t i = 0; i < merge->count; i++) {
        uint64_t key = merge->keys[i];
        equal = key < best_key ? 0 : equal + (key == best_key);
        best = key < best_key ? i : best;
        best_key = key < best_key ? key : best_key;
    }
    merge->tied = equal > 0;
    if (merge->tied || merge->readers[best].ended)
        best = pick_among_equal(merge, best_key);
    merge->current = best;
    *found_out = best < merge->count;
    return RF_OK;
}
