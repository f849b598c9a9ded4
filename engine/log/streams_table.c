/* See streams.h: what is stored of a partition. The appender's view: streams.c; merging: streams_runs.c.
 */
#include "log/streams.h"
#include "log/streams_merge.h"

#include <stdlib.h>

enum { SLAB_SIZE = 64 << 10 };

rf_status rf_streams_put_run(rf_kv_txn *txn, uint32_t table, uint32_t partition, rf_slice run,
                             rf_err *err)
{
    char key[RF_STREAMS_KEY_SIZE];
    rf_kv_cursor *cursor = NULL;
    rf_slice last_key;
    rf_slice bytes;
    bool found = false;
    uint64_t id = 1;

    if (run.size == 0)
        return RF_OK;
    rf_status status = rf_kv_cursor_open(txn, table, &cursor, err);
    if (status != RF_OK)
        return status;
    rf_streams_key(key, partition, UINT64_MAX, UINT32_MAX);
    status = rf_kv_cursor_seek(cursor, RF_KV_AT_MOST, (rf_slice){key, sizeof key}, &last_key,
                               &bytes, &found, err);
    if (status == RF_OK && found && last_key.size == sizeof key &&
        rf_load_u16_be(last_key.data) == partition)
        id = rf_load_u64_be(last_key.data + 2) + 1;
    rf_kv_cursor_close(cursor);
    for (uint32_t number = 0; status == RF_OK && run.size > 0; number++) {
        size_t size = rf_streams_part_size(run);
        if (size == 0)
            return rf_fail(err, RF_ERR_USAGE, "stream names of partition %u: %zu bytes are no run",
                           partition, run.size);
        rf_streams_key(key, partition, id, number);
        status =
            rf_kv_put(txn, table, (rf_slice){key, sizeof key}, (rf_slice){run.data, size}, err);
        run.data += size;
        run.size -= size;
    }
    return status;
}

rf_status rf_streams_delete_runs(rf_kv_txn *txn, uint32_t table, uint32_t partition,
                                 const rf_streams_run *runs, uint32_t count, rf_err *err)
{
    char key[RF_STREAMS_KEY_SIZE];

    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t part = 0; part < runs[i].parts; part++) {
            rf_streams_key(key, partition, runs[i].id, part);
            rf_status status = rf_kv_delete(txn, table, (rf_slice){key, sizeof key}, err);
            if (status != RF_OK)
                return status;
        }
    }
    return RF_OK;
}

/* Names on their way into the caller's arena. */
typedef struct name_list {
    rf_arena *arena;
    rf_stream_name *names;
    size_t count;
    size_t capacity;
    size_t left; /* entries to come at most, for the size of slabs */
    uint32_t number_end;
    uint32_t partition;
    char *at; /* free bytes of the slab */
    char *end;
} name_list;

static rf_status list_full(const name_list *list, rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "stream names of partition %u: over the limit of %zu bytes",
                   list->partition, list->arena->bytes_max);
}

/* Room for one name at list->at. */
static inline bool list_room(name_list *list)
{
    if ((size_t)(list->end - list->at) >= RF_STREAMS_NAME_BUFFER)
        return true;
    size_t size = SLAB_SIZE;
    if (list->left < SLAB_SIZE / 64)
        size = RF_STREAMS_NAME_BUFFER + list->left * 32;
    char *slab = rf_arena_bytes(list->arena, size);
    if (!slab)
        return false;
    list->at = slab;
    list->end = slab + size;
    return true;
}

/* Keeps the name that was written at list->at. */
static inline rf_status list_keep(name_list *list, const rf_streams_entry *entry, rf_err *err)
{
    if (list->count == list->capacity)
        return rf_fail(err, RF_ERR_DAMAGED, "stream names of partition %u: a number is given twice",
                       list->partition);
    list->names[list->count++] = (rf_stream_name){
        .name = {list->at, entry->name_size},
        .number = entry->number,
        .last_version = entry->last_version,
    };
    list->at += entry->name_size;
    return RF_OK;
}

/* Decodes one block straight into the arena. */
static rf_status list_block(name_list *list, const rf_streams_part *part, uint32_t block,
                            rf_err *err)
{
    rf_slice entries;
    rf_streams_entry entry = {0};
    const char *previous = NULL;

    rf_status status = rf_streams_part_block(part, block, &entries, err);
    if (status != RF_OK)
        return status;
    const char *at = entries.data;
    const char *end = at + entries.size;
    while (at < end) {
        if (!list_room(list))
            return list_full(list, err);
        if (!rf_streams_entry_read(&at, end, previous ? previous : list->at, list->at, &entry) ||
            entry.name_size == 0)
            return rf_fail(err, RF_ERR_DAMAGED,
                           "stream names of partition %u: an entry of block %u that cannot be",
                           list->partition, block);
        previous = list->at;
        list->left -= list->left > 0;
        if (entry.number < list->number_end) {
            status = list_keep(list, &entry, err);
            if (status != RF_OK)
                return status;
        }
    }
    return RF_OK;
}

static rf_status list_run(name_list *list, rf_kv_txn *txn, uint32_t table,
                          const rf_streams_run *run, rf_err *err)
{
    for (uint32_t number = 0; number < run->parts; number++) {
        rf_streams_part part;
        rf_status status =
            rf_streams_load_part(txn, table, list->partition, run->id, number, false, &part, err);
        for (uint32_t block = 0; status == RF_OK && block < part.block_count; block++)
            status = list_block(list, &part, block, err);
        if (status != RF_OK)
            return status;
    }
    return RF_OK;
}

static rf_status list_merged(name_list *list, rf_kv_txn *txn, uint32_t table,
                             const rf_streams_run *runs, uint32_t count, rf_err *err)
{
    rf_streams_merge_state merge;
    bool found = false;

    rf_status status = rf_streams_merge_open(&merge, txn, table, list->partition, runs, count, err);
    if (status == RF_OK)
        status = rf_streams_merge_next(&merge, &found, NULL, err);
    while (status == RF_OK && found) {
        const rf_streams_reader *reader = &merge.readers[merge.current];
        list->left -= list->left > 0;
        if (reader->entry.number < list->number_end) {
            if (!list_room(list)) {
                status = list_full(list, err);
                break;
            }
            for (uint32_t i = 0; i < reader->entry.name_size; i += RF_STREAMS_COPY_STEP)
                memcpy(list->at + i, reader->name + i, RF_STREAMS_COPY_STEP);
            status = list_keep(list, &reader->entry, err);
        }
        if (status == RF_OK)
            status = rf_streams_merge_next(&merge, &found, NULL, err);
    }
    rf_streams_merge_free(&merge);
    return status;
}

rf_status rf_streams_list(rf_kv_txn *txn, uint32_t table, uint32_t partition, uint32_t number_end,
                          rf_arena *arena, rf_stream_name **names_out, uint32_t *count_out,
                          rf_err *err)
{
    rf_streams_run *runs = NULL;
    uint32_t run_count = 0;
    uint64_t entries = 0;
    name_list list = {.arena = arena, .number_end = number_end, .partition = partition};

    rf_status status = rf_streams_runs(txn, table, partition, &runs, &run_count, err);
    if (status != RF_OK)
        return status;
    for (uint32_t i = 0; i < run_count; i++)
        entries += runs[i].entries;
    list.left = entries;
    list.capacity = entries < number_end ? entries : number_end;
    list.names = rf_arena_alloc(arena, list.capacity * sizeof *list.names);
    if (!list.names)
        status = list_full(&list, err);
    else if (run_count == 1)
        status = list_run(&list, txn, table, &runs[0], err);
    else if (run_count > 1)
        status = list_merged(&list, txn, table, runs, run_count, err);
    free(runs);
    if (status != RF_OK)
        return status;
    *names_out = list.names;
    *count_out = (uint32_t)list.count;
    return RF_OK;
}

/* The name in one run. */
static rf_status get_from_run(rf_kv_txn *txn, uint32_t table, uint32_t partition,
                              const rf_streams_run *run, rf_stream_name *found, bool *found_out,
                              rf_err *err)
{
    uint32_t low = 0;
    uint32_t high = run->parts;
    rf_streams_part part;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        rf_status status =
            rf_streams_load_part(txn, table, partition, run->id, middle, false, &part, err);
        if (status != RF_OK)
            return status;
        if (rf_slice_compare(rf_streams_part_first(&part, 0), found->name) <= 0)
            low = middle;
        else
            high = middle;
    }
    rf_status status = rf_streams_load_part(txn, table, partition, run->id, low, false, &part, err);
    if (status != RF_OK)
        return status;
    return rf_streams_part_find(&part, found->name, NULL, &found->number, &found->last_version, found_out,
                                err);
}

rf_status rf_streams_get(rf_kv_txn *txn, uint32_t table, uint32_t partition, rf_slice name,
                         rf_stream_name *name_out, bool *found_out, rf_err *err)
{
    rf_streams_run *runs = NULL;
    uint32_t count = 0;
    bool found = false;
    rf_stream_name result = {.name = name};

    rf_status status = rf_streams_runs(txn, table, partition, &runs, &count, err);
    for (uint32_t i = count; status == RF_OK && i > 0 && !found; i--)
        status = get_from_run(txn, table, partition, &runs[i - 1], &result, &found, err);
    free(runs);
    if (status != RF_OK)
        return status;
    if (found)
        *name_out = result;
    *found_out = found;
    return RF_OK;
}

/* Checking one partition, part by part. */
typedef struct verify_state {
    uint32_t partition;
    uint64_t run;
    bool in_run;
    uint32_t name_size; /* of the name before, in the same run */
    char name[RF_STREAMS_NAME_BUFFER];
} verify_state;

static rf_status verify_fail(const verify_state *state, const char *what, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED, "stream names of partition %u: run %llu: %s",
                   state->partition, (unsigned long long)state->run, what);
}

static rf_status verify_block(verify_state *state, const rf_streams_part *part, uint32_t block,
                              uint32_t *entries, rf_err *err)
{
    rf_slice bytes;
    rf_streams_entry entry = {0};
    char name[RF_STREAMS_NAME_BUFFER];

    rf_status status = rf_streams_part_block(part, block, &bytes, err);
    if (status != RF_OK)
        return status;
    const char *at = bytes.data;
    while (at < bytes.data + bytes.size) {
        bool is_first = at == bytes.data;
        if (!rf_streams_entry_read(&at, bytes.data + bytes.size, name, name, &entry) ||
            entry.name_size == 0)
            return verify_fail(state, "an entry that cannot be", err);
        rf_slice now = {name, entry.name_size};
        if (is_first && !rf_slice_equal(now, rf_streams_part_first(part, block)))
            return verify_fail(state, "a block begins with another name than its index says", err);
        if (rf_slice_compare((rf_slice){state->name, state->name_size}, now) >= 0)
            return verify_fail(state, "names that do not rise", err);
        if (!rf_streams_part_may_have(part, rf_streams_hash(now)))
            return verify_fail(state, "a filter that lacks a name", err);
        memcpy(state->name, name, entry.name_size);
        state->name_size = entry.name_size;
        (*entries)++;
    }
    return RF_OK;
}

static rf_status verify_part(void *arg, uint64_t run, rf_slice bytes, rf_err *err)
{
    verify_state *state = arg;
    rf_streams_part part;
    uint32_t entries = 0;

    if (!state->in_run || state->run != run) {
        state->in_run = true;
        state->run = run;
        state->name_size = 0;
    }
    rf_status status = rf_streams_part_open(bytes, state->partition, false, &part, err);
    if (status == RF_OK)
        status = rf_streams_part_check_filter(&part, err);
    for (uint32_t block = 0; status == RF_OK && block < part.block_count; block++)
        status = verify_block(state, &part, block, &entries, err);
    if (status == RF_OK && entries != part.entries)
        return verify_fail(state, "more or fewer entries than its header says", err);
    return status;
}

/* Every number below stream_count once, none above, the same in all runs. */
static rf_status verify_numbers(rf_streams_merge_state *merge, uint32_t stream_count,
                                uint8_t *given, rf_err *err)
{
    uint32_t count = 0;
    bool found = false;
    bool renumbered = false;

    for (;;) {
        rf_status status = rf_streams_merge_next(merge, &found, &renumbered, err);
        if (status != RF_OK)
            return status;
        if (renumbered)
            return rf_fail(err, RF_ERR_DAMAGED,
                           "stream names of partition %u: a stream has two numbers",
                           merge->partition);
        if (!found)
            break;
        const rf_streams_reader *reader = &merge->readers[merge->current];
        uint32_t number = reader->entry.number;
        if (number >= stream_count || (given[number / 8] >> (number % 8) & 1))
            return rf_fail(err, RF_ERR_DAMAGED,
                           "stream names of partition %u: stream %.*s has number %u, %s",
                           merge->partition, (int)reader->entry.name_size, reader->name, number,
                           number >= stream_count ? "which was never given" : "as another has");
        given[number / 8] |= (uint8_t)(1u << (number % 8));
        count++;
    }
    if (count != stream_count)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "stream names of partition %u: %u names, though %u numbers were given",
                       merge->partition, count, stream_count);
    return RF_OK;
}

rf_status rf_streams_verify(rf_kv_txn *txn, uint32_t table, uint32_t partition,
                            uint32_t stream_count, rf_err *err)
{
    verify_state state = {.partition = partition};
    rf_streams_merge_state merge = {0};
    rf_streams_run *runs = NULL;
    uint32_t count = 0;

    rf_status status = rf_streams_each_part(txn, table, partition, verify_part, &state, err);
    if (status == RF_OK)
        status = rf_streams_runs(txn, table, partition, &runs, &count, err);
    if (status != RF_OK)
        return status;
    if (count == 0) {
        if (stream_count == 0)
            return RF_OK;
        return rf_fail(err, RF_ERR_DAMAGED,
                       "stream names of partition %u: none, though %u numbers were given",
                       partition, stream_count);
    }
    uint8_t *given = calloc((size_t)stream_count / 8 + 1, 1);
    if (!given)
        status =
            rf_fail(err, RF_ERR_MEMORY, "stream names: out of memory for %u numbers", stream_count);
    if (status == RF_OK)
        status = rf_streams_merge_open(&merge, txn, table, partition, runs, count, err);
    if (status == RF_OK)
        status = verify_numbers(&merge, stream_count, given, err);
    rf_streams_merge_free(&merge);
    free(given);
    free(runs);
    return status;
}
