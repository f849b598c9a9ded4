/* See catch_up_chosen.h. */
#include "catch_up/catch_up_chosen.h"

#include "catch_up/catch_up_job.h"
#include "event/key.h"
#include "generation/replay.h"
#include "log/names.h"

#include <stdlib.h>

#define TEXT_BYTES_MAX ((size_t)1 << 40)

/* ---- which streams ---- */

/* Streams in the order of a fold. */
typedef struct stream_list {
    rf_fold_stream *items; /* owned */
    size_t count, capacity;
    rf_arena text; /* their names */
} stream_list;

static void stream_list_free(stream_list *list)
{
    free(list->items);
    rf_arena_free(&list->text);
}

static rf_status stream_list_add(stream_list *list, uint32_t partition, const rf_stream_name *stream,
                                 rf_err *err)
{
    rf_slice name = rf_arena_copy(&list->text, stream->name);

    if (name.data && list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        rf_fold_stream *items = realloc(list->items, capacity * sizeof *items);
        list->items = items ? items : list->items;
        list->capacity = items ? capacity : list->capacity;
    }
    if (!name.data || list->count == list->capacity)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %zu streams", list->count + 1);
    list->items[list->count++] = (rf_fold_stream){partition, stream->number, name};
    return RF_OK;
}

static rf_status find_key(rf_log *log, rf_slice key, stream_list *list, rf_err *err)
{
    rf_stream_name stream;
    uint32_t partition;
    bool found = false;

    if (key.size == 0 || key.size > RF_KEY_BYTES_MAX)
        return RF_OK;
    rf_status status = rf_log_find_stream(log, key, &partition, &stream, &found, err);
    return status == RF_OK && found ? stream_list_add(list, partition, &stream, err) : status;
}

static rf_status find_prefix(rf_log *log, rf_slice prefix, stream_list *list, rf_err *err)
{
    rf_log_names_cursor *names = NULL;
    rf_status status = rf_log_names_open(log, &names, err);

    for (uint32_t p = 0; status == RF_OK && p < rf_log_partitions(log); p++) {
        const rf_stream_name *batch;
        rf_log_partition partition;
        uint32_t count = 1;
        status = rf_log_get_partition(log, p, &partition, err);
        const rf_log_names_wanted all = {.first = 0, .count = partition.streams};
        rf_log_names_restart(names, p);
        while (status == RF_OK && count > 0) {
            status = rf_log_names_next(names, &all, &batch, &count, err);
            for (uint32_t i = 0; status == RF_OK && i < count; i++)
                if (rf_slice_starts_with(batch[i].name, prefix))
                    status = stream_list_add(list, p, &batch[i], err);
        }
    }
    rf_log_names_close(names);
    return status;
}

static int compare_streams(const void *left, const void *right)
{
    const rf_fold_stream *a = left;
    const rf_fold_stream *b = right;

    if (a->partition != b->partition)
        return a->partition < b->partition ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

/* The stream of whose events a row of the key is made; where it is none's, no stream has the name. */
static rf_slice stream_of(const rf_definition *definition, rf_slice key)
{
    size_t size;

    if (definition->key_part_count == 1)
        return key;
    return rf_key_skip(key, definition->key_parts, 1, &size) && size > 2
               ? (rf_slice){key.data + 1, size - 2} /* between a byte 1 and a byte 0 */
               : (rf_slice){NULL, 0};
}

/* The streams of whose events the chosen rows are made; keys are streams, or begin with
 * them. */
static rf_status find_streams(rf_log *log, const rf_definition *definition, const rf_chosen *chosen,
                              stream_list *list, rf_err *err)
{
    rf_status status = RF_OK;

    RF_ASSERT(definition->of_streams);
    for (uint32_t i = 0; status == RF_OK && i < chosen->key_count; i++)
        status = find_key(log, stream_of(definition, chosen->keys[i]), list, err);
    if (status == RF_OK && chosen->key_count == 0)
        status = definition->key_part_count == 1
                     ? find_prefix(log, chosen->prefix, list, err)
                     : find_key(log, stream_of(definition, chosen->prefix), list, err);
    if (list->count > 0)
        qsort(list->items, list->count, sizeof *list->items, compare_streams);
    return status;
}

/* Whether the chosen rows are made of events of some streams alone, which are known. */
static bool is_of_some(const rf_definition *definition, const rf_chosen *chosen)
{
    if (!definition->of_streams || chosen->key_count > 0)
        return definition->of_streams;
    if (definition->key_part_count == 1)
        return chosen->prefix.size > 0;
    return stream_of(definition, chosen->prefix).data != NULL;
}

/* ---- a fold from the first event on ---- */

/* `streams` NULL: all events. The item has begun. */
static rf_status fold(rf_catch_up *catch_up, rf_fold_target *target, uint64_t until,
                      const stream_list *streams, const volatile int *cancel, rf_err *err)
{
    rf_catch_up_item *item = &catch_up->items[0];
    const rf_fold_options options = {
        .until = until,
        .memory_bytes = RF_REPLAY_MEMORY_DEFAULT,
        .spill_dir = catch_up->store->path,
        .cancel = cancel,
        .chosen = streams ? streams->items : NULL,
        .chosen_count = streams ? streams->count : 0,
    };
    rf_fold_stats stats;

    if (until == 0 || (streams && streams->count == 0))
        return RF_OK;
    target->definition = item->definition;
    target->partition_end = NULL;
    target->policy = (rf_fault_policy){.on_error = item->pinned.manifest.on_error,
                                       .errors_max = RF_MAX_ERRORS_MAX,
                                       .skips = item->skips,
                                       .skip_count = item->skip_count};
    rf_status status =
        rf_fold_run(catch_up->store->log, catch_up->pool, target, 1, &options, &stats, err);
    rf_faults_free(&target->faults);
    return status;
}

static rf_status begin(rf_catch_up *catch_up, uint64_t until, rf_err *err)
{
    rf_left_out_list on_record = {0};

    RF_ASSERT(catch_up->count == 1);
    catch_up->items[0].goes_on = true; /* no copy of the delta is needed */
    catch_up->items[0].is_behind = false;
    rf_status status =
        rf_catch_up_item_begin(catch_up, &catch_up->items[0], until, &on_record, err);
    rf_left_out_list_free(&on_record);
    return status;
}

/* ---- rows, and what becomes of them ---- */

/* Confined to its worker while the fold runs. */
typedef struct chosen_slot {
    rf_arena text;
    rf_slice *seen; /* keys that the events gave, or streams without a row; owned, as the next */
    size_t seen_count, seen_capacity;
    rf_refolded *changes;
    size_t change_count, change_capacity;
    uint64_t rows;
} chosen_slot;

typedef struct chosen_fold {
    rf_catch_up_item *item;
    const rf_chosen *chosen;
    chosen_slot *slots;
    rf_slice *seen; /* of all slots, in order */
    size_t seen_count;
} chosen_fold;

static bool is_chosen(const rf_chosen *chosen, rf_slice key)
{
    return chosen->key_count > 0 ? rf_slices_have(chosen->keys, chosen->key_count, key)
                                 : rf_slice_starts_with(key, chosen->prefix);
}

static rf_status no_memory(const chosen_fold *run, rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for the rows that are repaired",
                   run->item->name);
}

/* Room for one more of items of `size` bytes. */
static bool make_room(void **items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    size_t more = *capacity ? 2 * *capacity : 64;
    void *grown = realloc(*items, more * size);
    if (!grown)
        return false;
    *items = grown;
    *capacity = more;
    return true;
}

static rf_status note_seen(const chosen_fold *run, chosen_slot *slot, rf_slice *key, rf_err *err)
{
    rf_slice copy = rf_arena_copy(&slot->text, *key);

    if (!copy.data || !make_room((void **)&slot->seen, slot->seen_count, &slot->seen_capacity,
                                 sizeof *slot->seen))
        return no_memory(run, err);
    slot->seen[slot->seen_count++] = copy;
    *key = copy;
    return RF_OK;
}

static rf_status note_change(const chosen_fold *run, chosen_slot *slot, const rf_catch_up_change *at,
                             bool was_damaged, rf_err *err)
{
    rf_refolded change = {.key = at->key, .was_damaged = was_damaged};

    if (at->rows[RF_CHANGE_NEW].data)
        change.after = rf_arena_copy(&slot->text, at->rows[RF_CHANGE_NEW]);
    if (!was_damaged && at->rows[RF_CHANGE_CURRENT].data)
        change.before = rf_arena_copy(&slot->text, at->rows[RF_CHANGE_CURRENT]);
    bool copied = !at->rows[RF_CHANGE_NEW].data == !change.after.data &&
                  (was_damaged || !at->rows[RF_CHANGE_CURRENT].data == !change.before.data);
    if (!copied || !make_room((void **)&slot->changes, slot->change_count, &slot->change_capacity,
                              sizeof *slot->changes))
        return no_memory(run, err);
    slot->changes[slot->change_count++] = change;
    return RF_OK;
}

/* What is stored of a row, and whether that could be read. A damaged row is taken for the one that the
 * fold gives: the digest was made of that. */
static rf_status look_up(rf_rows *rows, rf_catch_up_change *at, bool *was_damaged_out, rf_err *err)
{
    rf_delta_entry entry = {.key = at->key};
    rf_slice base = {NULL, 0};
    rf_err failure = {0};
    bool found = false;

    rf_status status = rf_rows_look_delta(rows, at->key, &entry, &at->in_delta, &failure);
    bool delta_damaged = status == RF_ERR_DAMAGED;
    if (status == RF_OK || delta_damaged)
        status = rf_rows_get_base(rows, at->key, &base, &found, &failure);
    bool base_damaged = status == RF_ERR_DAMAGED;
    if (status != RF_OK && !base_damaged) {
        if (err)
            *err = failure;
        return status;
    }
    at->in_delta = at->in_delta || delta_damaged;
    *was_damaged_out = delta_damaged || (base_damaged && !at->in_delta);
    at->rows[RF_CHANGE_BASE] = found && !base_damaged ? base : (rf_slice){NULL, 0};
    if (*was_damaged_out)
        at->rows[RF_CHANGE_CURRENT] = at->rows[RF_CHANGE_NEW];
    else
        at->rows[RF_CHANGE_CURRENT] = at->in_delta ? entry.row : at->rows[RF_CHANGE_BASE];
    if (base_damaged)
        at->rows[RF_CHANGE_BASE] = at->rows[RF_CHANGE_CURRENT];
    at->of_base = !base_damaged && rf_catch_up_same_row(at->rows[RF_CHANGE_NEW],
                                                        at->rows[RF_CHANGE_BASE]);
    return RF_OK;
}

/* A chosen row as the events give it; data NULL: they give none. */
static rf_status take(chosen_fold *run, uint32_t worker, rf_slice key, rf_slice row, rf_err *err)
{
    rf_catch_up_slot *stored = &run->item->slots[worker];
    chosen_slot *slot = &run->slots[worker];
    bool was_damaged = false;

    rf_status status = note_seen(run, slot, &key, err);
    slot->rows += row.data != NULL;
    rf_catch_up_change at = {.key = key, .rows = {[RF_CHANGE_NEW] = row}};
    if (status == RF_OK)
        status = look_up(stored->rows, &at, &was_damaged, err);
    if (status != RF_OK)
        return status;
    if (!was_damaged &&
        rf_catch_up_same_row(at.rows[RF_CHANGE_NEW], at.rows[RF_CHANGE_CURRENT]))
        return RF_OK;
    status = note_change(run, slot, &at, was_damaged, err);
    return status == RF_OK ? rf_catch_up_put_change(run->item, stored, &at, err) : status;
}

static rf_status take_row(void *arg, uint32_t worker, uint32_t partition, rf_slice key,
                          const void *row, rf_err *err)
{
    chosen_fold *run = arg;
    rf_catch_up_slot *stored = &run->item->slots[worker];

    (void)partition;
    if (!is_chosen(run->chosen, key))
        return RF_OK;
    rf_status status = rf_catch_up_encode(run->item, stored, key, row, err);
    return status == RF_OK ? take(run, worker, key, rf_buf_slice(&stored->row), err) : status;
}

static rf_status take_gone(void *arg, uint32_t worker, rf_slice key, rf_err *err)
{
    return take(arg, worker, key, (rf_slice){NULL, 0}, err);
}

/* ---- rows that no event gives ---- */

static rf_status gather_seen(chosen_fold *run, rf_err *err)
{
    size_t count = 0;

    for (uint32_t i = 0; i < run->item->slot_count; i++)
        count += run->slots[i].seen_count;
    run->seen = calloc(count + 1, sizeof *run->seen);
    if (!run->seen)
        return no_memory(run, err);
    for (uint32_t i = 0; i < run->item->slot_count; i++)
        for (size_t k = 0; k < run->slots[i].seen_count; k++)
            run->seen[run->seen_count++] = run->slots[i].seen[k];
    rf_slices_sort(run->seen, run->seen_count);
    return RF_OK;
}

static rf_status take_unseen(chosen_fold *run, rf_slice key, rf_err *err)
{
    return rf_slices_have(run->seen, run->seen_count, key)
               ? RF_OK
               : take(run, 0, key, (rf_slice){NULL, 0}, err);
}

/* Stored rows of a prefix. Where a block cannot be read, what else it has cannot be known. */
static rf_status search_prefix(chosen_fold *run, bool *is_unsearched_out, rf_err *err)
{
    const rf_delta_range range = {.prefix = run->chosen->prefix};
    rf_rows_cursor *cursor = NULL;
    rf_err failure = {0};
    rf_slice key, row;
    bool found = true;

    rf_status status = rf_rows_cursor_open(run->item->slots[0].rows, RF_DELTA_ROWS, &range, &cursor,
                                           &failure);
    while (status == RF_OK && found) {
        status = rf_rows_cursor_next(cursor, &key, &row, &found, &failure);
        found = found && rf_slice_starts_with(key, range.prefix);
        if (status == RF_OK && found)
            status = take_unseen(run, key, &failure);
    }
    rf_rows_cursor_close(cursor);
    *is_unsearched_out = status == RF_ERR_DAMAGED;
    if (status != RF_OK && !*is_unsearched_out && err)
        *err = failure;
    return *is_unsearched_out ? RF_OK : status;
}

static rf_status search(chosen_fold *run, bool *is_unsearched_out, rf_err *err)
{
    rf_status status = gather_seen(run, err);

    for (uint32_t i = 0; status == RF_OK && i < run->chosen->key_count; i++)
        status = take_unseen(run, run->chosen->keys[i], err);
    if (status == RF_OK && run->chosen->key_count == 0)
        status = search_prefix(run, is_unsearched_out, err);
    return status;
}

/* ---- all of it ---- */

static int compare_changes(const void *left, const void *right)
{
    return rf_slice_compare(((const rf_refolded *)left)->key, ((const rf_refolded *)right)->key);
}

static rf_status gather(chosen_fold *run, rf_refold_result *result, rf_err *err)
{
    size_t count = 0;

    for (uint32_t i = 0; i < run->item->slot_count; i++)
        count += run->slots[i].change_count;
    rf_refolded *changes = calloc(count + 1, sizeof *changes);
    if (!changes)
        return no_memory(run, err);
    *result = (rf_refold_result){.changes = changes, .is_unsearched = result->is_unsearched};
    rf_arena_init(&result->text, TEXT_BYTES_MAX);
    for (uint32_t i = 0; i < run->item->slot_count; i++) {
        chosen_slot *slot = &run->slots[i];
        for (size_t k = 0; k < slot->change_count; k++)
            changes[result->change_count++] = slot->changes[k];
        result->rows += slot->rows;
        rf_arena_adopt(&result->text, &slot->text);
    }
    qsort(changes, result->change_count, sizeof *changes, compare_changes);
    return RF_OK;
}

void rf_refold_result_free(rf_refold_result *result)
{
    free(result->changes);
    rf_arena_free(&result->text);
    *result = (rf_refold_result){0};
}

static rf_status refold_begin(chosen_fold *run, rf_err *err)
{
    run->slots = calloc(run->item->slot_count, sizeof *run->slots);
    for (uint32_t i = 0; run->slots && i < run->item->slot_count; i++)
        rf_arena_init(&run->slots[i].text, TEXT_BYTES_MAX);
    return run->slots ? RF_OK : no_memory(run, err);
}

static void refold_end(chosen_fold *run)
{
    for (uint32_t i = 0; run->slots && i < run->item->slot_count; i++) {
        rf_arena_free(&run->slots[i].text);
        free(run->slots[i].seen);
        free(run->slots[i].changes);
    }
    free(run->slots);
    free(run->seen);
}

rf_status rf_catch_up_refold(rf_catch_up *catch_up, const rf_chosen *chosen,
                             const volatile int *cancel, rf_refold_result *result_out, rf_err *err)
{
    rf_catch_up_item *item = &catch_up->items[0];
    uint64_t position = item->checkpoint.position;
    chosen_fold run = {.item = item, .chosen = chosen};
    rf_fold_target target = {.row = take_row, .gone = take_gone, .sink_arg = &run};
    rf_refold_result result = {0};
    stream_list streams = {0};
    bool some = is_of_some(item->definition, chosen);

    rf_arena_init(&streams.text, TEXT_BYTES_MAX);
    rf_status status = begin(catch_up, position, err);
    if (status == RF_OK)
        status = refold_begin(&run, err);
    if (status == RF_OK && some)
        status = find_streams(catch_up->store->log, item->definition, chosen, &streams, err);
    if (status == RF_OK)
        status = fold(catch_up, &target, position, some ? &streams : NULL, cancel, err);
    if (status == RF_OK)
        status = search(&run, &result.is_unsearched, err);
    if (status == RF_OK)
        status = gather(&run, &result, err);
    if (status == RF_OK)
        status = rf_catch_up_sort_changes(catch_up, err);
    if (status == RF_OK) {
        rf_left_out_list_free(&item->noted);
        rf_catch_up_make_move(item, position, RF_TIME_NONE, &catch_up->moves[0]);
        *result_out = result;
    }
    stream_list_free(&streams);
    refold_end(&run);
    return status;
}

/* ---- as it was ---- */

struct as_of {
    rf_catch_up_item *item;
    rf_slice key;
    rf_buf *row_out;
    bool found;
};

static rf_status keep_row(void *arg, uint32_t worker, uint32_t partition, rf_slice key,
                          const void *row, rf_err *err)
{
    struct as_of *as_of = arg;
    rf_catch_up_slot *slot = &as_of->item->slots[worker];

    (void)partition;
    if (!rf_slice_equal(key, as_of->key))
        return RF_OK;
    rf_status status = rf_catch_up_encode(as_of->item, slot, key, row, err);
    if (status != RF_OK)
        return status;
    rf_buf_append_slice(as_of->row_out, rf_buf_slice(&slot->row));
    as_of->found = true;
    return rf_buf_check(as_of->row_out, as_of->item->name, err);
}

static rf_status keep_none(void *arg, uint32_t worker, rf_slice key, rf_err *err)
{
    (void)arg;
    (void)worker;
    (void)key;
    (void)err;
    return RF_OK;
}

rf_status rf_catch_up_as_of(rf_catch_up *catch_up, rf_slice key, uint64_t position, rf_buf *row_out,
                            bool *found_out, rf_err *err)
{
    rf_catch_up_item *item = &catch_up->items[0];
    struct as_of as_of = {item, key, row_out, false};
    rf_fold_target target = {.row = keep_row, .gone = keep_none, .sink_arg = &as_of};
    const rf_chosen chosen = {.keys = &key, .key_count = 1};
    stream_list streams = {0};

    if (!item->definition->of_streams)
        return rf_fail(err, RF_ERR_USAGE,
                       "%s: its keys neither are nor begin with the stream, so events of a row may be of "
                       "other streams too; only a row of one stream's events can be given as it was "
                       "(rebuild --until makes all rows so)",
                       item->name);
    rf_arena_init(&streams.text, TEXT_BYTES_MAX);
    rf_status status =
        position > item->checkpoint.position ? rf_catch_up_check_census(catch_up, err) : RF_OK;
    if (status == RF_OK)
        status = begin(catch_up, position, err);
    if (status == RF_OK)
        status = find_streams(catch_up->store->log, item->definition, &chosen, &streams, err);
    if (status == RF_OK)
        status = fold(catch_up, &target, position, &streams, NULL, err);
    stream_list_free(&streams);
    if (status == RF_OK)
        *found_out = as_of.found;
    return status;
}
