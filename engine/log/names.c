/* See names.h. */
#include "log/names.h"

#include "log/record.h"
#include "log/streams_merge.h"

#include <stdlib.h>

enum {
    BYTES_MAX = 64 << 10,
    NAME_ROOM = RF_STREAMS_NAME_BUFFER,
    LOOKED_AT_MAX = 1 << 16, /* names of a transaction: few may be wanted */
    UNWRITTEN_MAX = 256,     /* each shares more with the one before it, in one byte */
};

/* Entries of names that nobody asked for, of which the next may need the beginning. */
typedef struct unwritten {
    uint32_t count;
    const char *entries[UNWRITTEN_MAX]; /* in the block; what they share rises */
} unwritten;

struct rf_log_names_cursor {
    rf_log *log;
    rf_kv_txn *txn; /* reset between batches; NULL before the first */
    uint64_t txn_id;
    uint32_t partition;
    bool is_merging; /* `merge` is open, for the view of txn_id */
    bool at_end;
    rf_streams_merge_state merge;
    rf_slice next; /* where the walk stands between batches, in next_bytes; empty: at the start */
    rf_stream_name names[RF_LOG_NAMES_BATCH];
    unwritten unwritten; /* of the block at hand */
    char next_bytes[NAME_ROOM];
    char bytes[BYTES_MAX + NAME_ROOM];
};

rf_status rf_log_names_open(rf_log *log, rf_log_names_cursor **cursor_out, rf_err *err)
{
    rf_log_names_cursor *cursor = calloc(1, sizeof *cursor);

    if (!cursor)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory for names of streams");
    cursor->log = log;
    cursor->at_end = true;
    *cursor_out = cursor;
    return RF_OK;
}

static void stop_merging(rf_log_names_cursor *cursor)
{
    if (cursor->is_merging)
        rf_streams_merge_free(&cursor->merge);
    cursor->is_merging = false;
}

void rf_log_names_close(rf_log_names_cursor *cursor)
{
    if (!cursor)
        return;
    stop_merging(cursor);
    rf_kv_abort(cursor->txn);
    free(cursor);
}

void rf_log_names_restart(rf_log_names_cursor *cursor, uint32_t partition)
{
    RF_ASSERT(partition < rf_log_partitions(cursor->log));
    stop_merging(cursor);
    cursor->partition = partition;
    cursor->next = RF_SLICE("");
    cursor->at_end = false;
}

static rf_slice current_name(const rf_log_names_cursor *cursor)
{
    const rf_streams_reader *reader = &cursor->merge.readers[cursor->merge.current];
    return (rf_slice){reader->name, reader->entry.name_size};
}

static rf_status step(rf_log_names_cursor *cursor, rf_err *err)
{
    bool found = false;
    rf_status status = rf_streams_merge_next(&cursor->merge, &found, NULL, err);

    cursor->at_end = status == RF_OK && !found;
    return status;
}

/* Opens the walk in the view at hand and goes to where it stood. */
static rf_status start_merging(rf_log_names_cursor *cursor, rf_err *err)
{
    rf_streams_run *runs = NULL;
    uint32_t run_count = 0;

    stop_merging(cursor);
    rf_status status = rf_streams_run_ids(cursor->txn, RF_LOG_STREAMS, cursor->partition, &runs,
                                          &run_count, err);
    if (status == RF_OK && run_count == 0) {
        cursor->at_end = true;
    } else if (status == RF_OK) {
        status = rf_streams_merge_open_copied(&cursor->merge, rf_log_kv(cursor->log), cursor->txn,
                                              RF_LOG_STREAMS, cursor->partition, runs, run_count,
                                              err);
        cursor->is_merging = true;
        if (status == RF_OK)
            status = step(cursor, err);
        while (status == RF_OK && !cursor->at_end &&
               rf_slice_compare(current_name(cursor), cursor->next) < 0)
            status = step(cursor, err);
    }
    free(runs);
    return status;
}

static rf_status begin_to_read(rf_log_names_cursor *cursor, rf_err *err)
{
    if (cursor->txn)
        return rf_kv_renew(cursor->txn, err);
    rf_status status = rf_kv_begin(rf_log_kv(cursor->log), false, &cursor->txn, err);
    if (status == RF_OK)
        rf_kv_read_copied(cursor->txn);
    return status;
}

static rf_status view(rf_log_names_cursor *cursor, rf_err *err)
{
    rf_status status = begin_to_read(cursor, err);
    if (status != RF_OK)
        return status;
    uint64_t txn_id = rf_kv_txn_id(cursor->txn);
    bool goes_on = cursor->is_merging && txn_id == cursor->txn_id;
    cursor->txn_id = txn_id;
    return goes_on ? RF_OK : start_merging(cursor, err);
}

static inline bool is_wanted(const rf_log_names_wanted *wanted, uint32_t number)
{
    uint32_t index = number - wanted->first;
    return index < wanted->count && (!wanted->flags || (wanted->flags[index] & wanted->mask));
}

/* What a batch has so far. */
typedef struct name_batch {
    char *at; /* in the cursor's bytes */
    uint32_t count;
    uint32_t looked; /* at so many names */
} name_batch;

static inline bool has_room(const rf_log_names_cursor *cursor, const name_batch *batch)
{
    return batch->looked < LOOKED_AT_MAX && batch->count < RF_LOG_NAMES_BATCH &&
           batch->at < cursor->bytes + BYTES_MAX;
}

/* Takes a name that is wanted. */
static inline void take_name(rf_log_names_cursor *cursor, const rf_streams_entry *entry,
                             const char *name, name_batch *batch)
{
    enum { USUAL = 3 * RF_STREAMS_COPY_STEP };
    uint32_t size = entry->name_size;

    memcpy(batch->at, name, USUAL);
    for (uint32_t i = USUAL; i < size; i += RF_STREAMS_COPY_STEP)
        memcpy(batch->at + i, name + i, RF_STREAMS_COPY_STEP);
    cursor->names[batch->count++] =
        (rf_stream_name){{batch->at, size}, entry->number, entry->last_version};
    batch->at += size;
}

static inline uint32_t shared_of(const char *entry)
{
    return (uint8_t)entry[0];
}

/* Notes an entry whose name is not put together. What those before it have behind as many bytes as it
 * shares is no beginning of a later name any more. */
static inline void note_unwritten(unwritten *noted, const char *entry)
{
    while (noted->count > 0 && shared_of(noted->entries[noted->count - 1]) >= shared_of(entry))
        noted->count--;
    RF_ASSERT(noted->count < UNWRITTEN_MAX);
    noted->entries[noted->count++] = entry;
}

static inline void write_noted(unwritten *noted, const char *end, char *name)
{
    for (uint32_t i = 0; i < noted->count; i++) {
        const char *at = noted->entries[i] + 1;
        rf_streams_rest rest;
        bool read = rf_streams_rest_read(&at, end, &rest);
        RF_ASSERT(read);
        rf_streams_rest_write(&rest, end, name, shared_of(noted->entries[i]));
    }
    noted->count = 0;
}

/* Steps over entries that are not wanted, up to one that is, or that is no usual one. Returns it, and
 * *name_size gets the size of the name before it. */
static const char *skip_unwanted(const rf_log_names_wanted *wanted, const char *at, const char *end,
                                 unwritten *noted, uint32_t *name_size, uint32_t *looked)
{
    rf_streams_usual entry;

    while (rf_streams_usual_read(at, end, *name_size, &entry) && !is_wanted(wanted, entry.number)) {
        note_unwritten(noted, at);
        *name_size = entry.shared + entry.sizes.size;
        (*looked)++;
        if (*name_size == 0)
            break;
        at += entry.size;
    }
    return at;
}

/* Of one run, which is what an import leaves: takes from the name at hand to the last of its block,
 * while there is room, and is then on the first that was not taken. False: on one that was, because
 * the block ends there or an entry cannot be, which the next step finds too. Names are put together
 * where they are wanted or ended on. (Order log: all names take a third less time than by steps of a
 * merge; those of one stream in twenty a third of the instructions of all names put together.) */
static bool take_block(rf_log_names_cursor *cursor, const rf_log_names_wanted *wanted,
                       name_batch *batch)
{
    rf_streams_reader *reader = &cursor->merge.readers[0];
    rf_streams_entry entry = reader->entry;
    unwritten *noted = &cursor->unwritten;
    const char *at = reader->at;
    name_batch taken = *batch;
    bool more = true;
    bool asked = is_wanted(wanted, entry.number);

    noted->count = 0;
    while (more && has_room(cursor, &taken)) {
        rf_streams_rest rest;
        uint32_t shared;
        taken.looked++;
        if (asked)
            take_name(cursor, &entry, reader->name, &taken);
        else
            at = skip_unwanted(wanted, at, reader->end, noted, &entry.name_size, &taken.looked);
        const char *before = at;
        reader->entry.name_size = entry.name_size;
        more = at < reader->end &&
               rf_streams_entry_next(&at, reader->end, &entry, &shared, &rest) &&
               entry.name_size > 0;
        if (!more) {
            at = before;
            break;
        }
        reader->entry = entry;
        asked = is_wanted(wanted, entry.number);
        if (!asked) {
            note_unwritten(noted, before);
            continue;
        }
        write_noted(noted, reader->end, reader->name);
        rf_streams_rest_write(&rest, reader->end, reader->name, shared);
    }
    if (more)
        write_noted(noted, reader->end, reader->name);
    reader->at = at;
    *batch = taken;
    return more;
}

/* Takes names while there is room, and leaves the walk on the first that was not taken. */
static rf_status take_names(rf_log_names_cursor *cursor, const rf_log_names_wanted *wanted,
                            uint32_t *count_out, rf_err *err)
{
    name_batch taken = {.at = cursor->bytes};
    rf_status status = RF_OK;

    while (status == RF_OK && !cursor->at_end && has_room(cursor, &taken)) {
        if (cursor->merge.count == 1) {
            if (take_block(cursor, wanted, &taken))
                continue;
        } else {
            const rf_streams_reader *reader = &cursor->merge.readers[cursor->merge.current];
            taken.looked++;
            if (is_wanted(wanted, reader->entry.number))
                take_name(cursor, &reader->entry, reader->name, &taken);
        }
        status = step(cursor, err);
    }
    *count_out = taken.count;
    return status;
}

rf_status rf_log_names_next(rf_log_names_cursor *cursor, const rf_log_names_wanted *wanted,
                            const rf_stream_name **names_out, uint32_t *count_out, rf_err *err)
{
    *names_out = cursor->names;
    *count_out = 0;
    while (*count_out == 0 && !cursor->at_end) {
        rf_status status = view(cursor, err);
        if (status == RF_OK)
            status = take_names(cursor, wanted, count_out, err);
        if (status == RF_OK && !cursor->at_end) {
            rf_slice name = current_name(cursor);
            memcpy(cursor->next_bytes, name.data, name.size);
            cursor->next = (rf_slice){cursor->next_bytes, name.size};
        }
        if (cursor->txn)
            rf_kv_reset(cursor->txn);
        if (status != RF_OK)
            return status;
    }
    return RF_OK;
}

/* ---- by number ---- */

static int compare_names(const void *left, const void *right)
{
    const rf_stream_name *a = left;
    const rf_stream_name *b = right;

    return rf_slice_compare(a->name, b->name);
}

/* Names that were asked for by number, on their way out. */
typedef struct names_found {
    rf_stream_name *names;
    uint32_t count, wanted;
    rf_arena *arena;
} names_found;

/* What of the wanted stands in one run. */
static rf_status find_in_run(rf_log_names_cursor *cursor, const rf_streams_run *run, uint8_t *flags,
                             uint32_t number_end, names_found *found, rf_err *err)
{
    const rf_log_names_wanted wanted = {0, number_end, flags, UINT8_MAX};

    rf_status status =
        rf_streams_merge_open_copied(&cursor->merge, rf_log_kv(cursor->log), cursor->txn,
                                     RF_LOG_STREAMS, cursor->partition, run, 1, err);
    cursor->is_merging = true;
    cursor->at_end = false;
    if (status == RF_OK)
        status = step(cursor, err);
    while (status == RF_OK && !cursor->at_end && found->count < found->wanted) {
        uint32_t count = 0;
        status = take_names(cursor, &wanted, &count, err);
        for (uint32_t i = 0; status == RF_OK && i < count; i++) {
            rf_stream_name name = cursor->names[i];
            if (!flags[name.number]) /* of a damaged run that has it twice */
                continue;
            flags[name.number] = 0;
            name.name = rf_arena_copy(found->arena, name.name);
            if (!name.name.data)
                return rf_fail(err, RF_ERR_MEMORY, "out of memory for the names of %u streams",
                               found->wanted);
            RF_ASSERT(found->count < found->wanted);
            found->names[found->count++] = name;
        }
    }
    stop_merging(cursor);
    return status;
}

rf_status rf_log_names_find(rf_log_names_cursor *cursor, uint32_t partition, uint8_t *flags,
                            uint32_t number_end, uint32_t count, rf_arena *arena,
                            rf_stream_name *names_out, rf_err *err)
{
    names_found found = {.names = names_out, .wanted = count, .arena = arena};
    rf_streams_run *runs = NULL;
    uint32_t run_count = 0;

    rf_log_names_restart(cursor, partition);
    rf_status status = begin_to_read(cursor, err);
    if (status == RF_OK)
        status = rf_streams_run_ids(cursor->txn, RF_LOG_STREAMS, partition, &runs, &run_count, err);
    for (uint32_t i = run_count; status == RF_OK && i > 0 && found.count < count; i--)
        status = find_in_run(cursor, &runs[i - 1], flags, number_end, &found, err);
    free(runs);
    stop_merging(cursor);
    cursor->at_end = true;
    if (cursor->txn)
        rf_kv_reset(cursor->txn);
    if (status == RF_OK && found.count < count)
        return rf_fail(err, RF_ERR_DAMAGED, "partition %u: %u of %u stream numbers have no name",
                       partition, count - found.count, count);
    if (status == RF_OK)
        qsort(names_out, count, sizeof *names_out, compare_names);
    return status;
}
