/* See catch_up.h. catch_up_sink.c has where rows come from and go to. */
#include "catch_up/catch_up.h"

#include "base/clock.h"
#include "catch_up/catch_up_job.h"
#include "generation/replay.h"
#include "generation/resolve.h"
#include "projection/evolution.h"

#include <stdlib.h>

/* Events of a round: what is held in memory, and how long its transaction holds others that move read models
 * on. One that took longer makes the next ones shorter. */
enum { ROUND_EVENTS_MAX = 128 << 10, ROUND_EVENTS_MIN = 8 << 10 };
#define MOVE_SECONDS 0.05

bool rf_catch_up_resumes(const rf_definition *definition)
{
    uint32_t word = 0;
    bool covered = true;

    /* A word of the row that no column has any byte of is something that the plugin keeps there. (What
     * Lua has there means something within a batch only.) */
    for (; !definition->lua && covered && word + 8 <= definition->row_size; word += 8) {
        covered = false;
        for (uint32_t i = 0; !covered && i < definition->column_count; i++) {
            const rf_column *column = &definition->columns[i];
            uint32_t size = column->kind == RF_BOOL                               ? 1
                            : column->kind == RF_TEXT || column->kind == RF_JSON ? sizeof(rf_slice)
                                                                                  : 8;
            covered = column->offset < word + 8 && column->offset + size > word;
        }
    }
    return covered;
}

/* Which keys are shut out is known of streams; of other keys, only that none is. */
static bool item_resumes(const rf_catch_up_item *item)
{
    return rf_catch_up_resumes(item->definition) &&
           (item->definition->by_stream || item->shut_out_count == 0);
}

/* ---- open and close ---- */

/* What was left out after the checkpoint belongs to events that are to be folded. */
static void cut_left_out(rf_left_out_list *list, uint64_t position)
{
    while (list->count > 0 && list->items[list->count - 1].position > position)
        list->count--;
}

rf_status rf_catch_up_read_left_out(rf_catch_up_item *item, rf_catalog *catalog, rf_err *err)
{
    rf_left_out_list_free(&item->left_out);
    free(item->shut_out);
    item->shut_out = NULL;
    item->shut_out_count = 0;
    rf_status status =
        rf_catalog_left_out(catalog, &item->pinned.manifest, &item->left_out, err);
    if (status != RF_OK)
        return status;
    cut_left_out(&item->left_out, item->checkpoint.position);
    item->shut_out = calloc(item->left_out.count + 1, sizeof *item->shut_out);
    if (!item->shut_out)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for its quarantine", item->name);
    for (uint32_t i = 0; i < item->left_out.count; i++)
        if (item->left_out.items[i].cause == RF_CAUSE_QUARANTINED)
            item->shut_out[item->shut_out_count++] = item->left_out.items[i].stream;
    rf_slices_sort(item->shut_out, item->shut_out_count);
    item->resumes = item_resumes(item);
    return RF_OK;
}

static rf_status item_open(rf_catch_up *catch_up, const rf_catch_up_of *of, rf_catch_up_item *item,
                           rf_err *err)
{
    rf_catalog *catalog = catch_up->store->catalog;
    uint32_t slots = rf_pool_worker_slots(catch_up->pool);

    item->number = of->number;
    item->if_followed = item->asks = of->if_followed;
    item->pinned.lock_fd = -1;
    RF_ASSERT(strlen(of->name) < sizeof item->name);
    memcpy(item->name, of->name, strlen(of->name) + 1);
    rf_status status = rf_catalog_pin(catalog, of->name, of->number, &item->pinned, err);
    const rf_manifest *manifest = &item->pinned.manifest;
    if (status == RF_OK)
        status = rf_resolve_kept(catch_up->store, of->name, of->number, &item->definition, err);
    if (status == RF_OK)
        status = rf_catalog_checkpoint(catalog, manifest, &item->checkpoint, err);
    if (status == RF_OK)
        status = rf_catch_up_read_left_out(item, catalog, err);
    if (status != RF_OK)
        return status;
    item->columns = calloc(manifest->column_count + 1, sizeof *item->columns);
    item->changes = calloc(slots, sizeof *item->changes);
    item->slots = calloc(slots, sizeof *item->slots);
    if (!item->columns || !item->changes || !item->slots)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a catch-up", item->name);
    for (uint32_t i = 0; i < manifest->column_count; i++)
        item->columns[i] = (rf_reader_column){manifest->columns[i].name, manifest->columns[i].kind,
                                              manifest->columns[i].scale};
    for (uint32_t i = 0; status == RF_OK && i < slots; i++) {
        item->slot_count = i + 1;
        status = rf_catch_up_slot_open(item, catalog, &item->slots[i], err);
    }
    return status;
}

static void item_close(rf_catch_up_item *item)
{
    for (uint32_t i = 0; i < item->slot_count; i++)
        rf_catch_up_slot_close(&item->slots[i]);
    rf_delta_part_free(&item->delta);
    rf_left_out_list_free(&item->left_out);
    rf_left_out_list_free(&item->noted);
    free(item->shut_out);
    free(item->slots);
    free(item->changes);
    free(item->columns);
    free(item->skips);
    free(item->merged);
    rf_definition_free(item->definition);
    rf_catalog_unpin(&item->pinned);
}

rf_status rf_catch_up_open(rf_store *store, rf_pool *pool, const rf_catch_up_of *of, uint32_t count,
                           rf_catch_up **catch_up_out, rf_err *err)
{
    rf_catch_up *catch_up = calloc(1, sizeof *catch_up);
    rf_status status = RF_OK;

    RF_ASSERT(count > 0);
    if (catch_up) {
        *catch_up = (rf_catch_up){.store = store,
                                  .pool = pool,
                                  .items = calloc(count, sizeof *catch_up->items),
                                  .moves = calloc(count, sizeof *catch_up->moves),
                                  .round_events = ROUND_EVENTS_MAX};
    }
    if (!catch_up || !catch_up->items || !catch_up->moves)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for a catch-up");
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        catch_up->count = i + 1;
        status = item_open(catch_up, &of[i], &catch_up->items[i], err);
        if (status == RF_OK &&
            catch_up->items[i].checkpoint.position != catch_up->items[0].checkpoint.position)
            status = rf_fail(err, RF_ERR_LOCKED,
                             "%s generation %llu and %s generation %llu are at different positions: "
                             "another run moved one of them",
                             of[0].name, (unsigned long long)of[0].number, of[i].name,
                             (unsigned long long)of[i].number);
    }
    if (status != RF_OK) {
        rf_catch_up_close(catch_up);
        return status;
    }
    *catch_up_out = catch_up;
    return RF_OK;
}

void rf_catch_up_close(rf_catch_up *catch_up)
{
    if (!catch_up)
        return;
    for (uint32_t i = 0; i < catch_up->count; i++)
        item_close(&catch_up->items[i]);
    free(catch_up->items);
    free(catch_up->moves);
    free(catch_up);
}

void rf_catch_up_only_go_on(rf_catch_up *catch_up, bool only)
{
    catch_up->only_goes_on = only;
}

bool rf_catch_up_told_too_little(const rf_catch_up *catch_up)
{
    return catch_up->told_too_little;
}

uint64_t rf_catch_up_events(const rf_catch_up *catch_up)
{
    return catch_up->events;
}

uint64_t rf_catch_up_position(const rf_catch_up *catch_up)
{
    return catch_up->items[0].checkpoint.position;
}

uint32_t rf_catch_up_count(const rf_catch_up *catch_up)
{
    return catch_up->count;
}

const rf_checkpoint *rf_catch_up_checkpoint(const rf_catch_up *catch_up, uint32_t index,
                                            const rf_manifest **manifest_out)
{
    RF_ASSERT(index < catch_up->count);
    *manifest_out = &catch_up->items[index].pinned.manifest;
    return &catch_up->items[index].checkpoint;
}

/* ---- before a fold ---- */

/* A type's schema above the one that the definition was built for stops it, as it stops a rebuild. */
static rf_status check_schemas(const rf_catch_up_item *item, const rf_census_type *types,
                               uint32_t count, rf_err *err)
{
    const rf_manifest *manifest = &item->pinned.manifest;
    const rf_evolution *evolution = item->definition->evolution;

    for (uint32_t i = 0; i < count; i++) {
        rf_slice type = rf_evolution_type(evolution, types[i].type);
        if (types[i].last_position <= item->checkpoint.position)
            continue;
        for (uint32_t k = 0; k < manifest->schema_count; k++)
            if (rf_slice_equal(type, rf_slice_of(manifest->schemas[k].type)) &&
                types[i].schema > manifest->schemas[k].schema &&
                !rf_evolution_accepts(evolution, type, types[i].schema))
                return rf_fail(err, RF_ERR_REFUSED,
                               "%s: events of type %.*s have schema %lld, above %lld, which "
                               "generation %llu was built for; it stays where it is",
                               item->name, (int)type.size, type.data, (long long)types[i].schema,
                               (long long)manifest->schemas[k].schema,
                               (unsigned long long)item->number);
    }
    return RF_OK;
}

rf_status rf_catch_up_check_census(const rf_catch_up *catch_up, rf_err *err)
{
    const rf_census_type *types = NULL;
    uint32_t count = 0;
    rf_census *census = rf_census_new();

    if (!census)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the census");
    rf_status status = rf_log_census(catch_up->store->log, census, err);
    if (status == RF_OK)
        status = rf_census_list(census, &types, &count, err);
    for (uint32_t i = 0; status == RF_OK && i < catch_up->count; i++)
        status = check_schemas(&catch_up->items[i], types, count, err);
    rf_census_free(census);
    return status;
}

/* The largest time of a partition's events in (from, until]. */
static rf_status step_time(const rf_log_step *step, int64_t *times, int64_t *time_last, rf_err *err)
{
    rf_status status = RF_OK;

    if (step->segment.time_max <= *time_last)
        return RF_OK;
    if (step->begin == 0 && step->end == step->segment.count) {
        *time_last = step->segment.time_max;
        return RF_OK;
    }
    status = rf_segment_envelope(&step->segment, RF_ENVELOPE_TIME, times, NULL, err);
    for (uint32_t i = step->begin; status == RF_OK && i < step->end; i++)
        *time_last = times[i] > *time_last ? times[i] : *time_last;
    return status;
}

static rf_status find_time(const rf_catch_up *catch_up, uint64_t until, int64_t *time_out,
                           rf_err *err)
{
    uint64_t from = rf_catch_up_position(catch_up) + 1;
    rf_log *log = catch_up->store->log;
    int64_t *times = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *times);
    rf_log_partition *infos = calloc(rf_log_partitions(log), sizeof *infos);
    rf_log_scan *scan = NULL;
    int64_t last = RF_TIME_NONE;

    rf_status status =
        times && infos ? rf_log_get_partitions(log, infos, err)
                       : rf_fail(err, RF_ERR_MEMORY, "out of memory for the times of events");
    for (uint32_t p = 0; status == RF_OK && p < rf_log_partitions(log); p++) {
        rf_log_step step;
        bool found = true;
        if (infos[p].last_position < from)
            continue;
        status = scan ? rf_log_scan_restart(scan, p, from, until, err)
                      : rf_log_scan_open(log, p, from, until, &scan, err);
        while (status == RF_OK && found) {
            status = rf_log_scan_next(scan, &step, &found, err);
            if (status == RF_OK && found)
                status = step_time(&step, times, &last, err);
        }
    }
    rf_log_scan_close(scan);
    free(infos);
    free(times);
    *time_out = last;
    return status;
}

/* Events that are put aside: those that it left out so far, and from there on what is on record. (Where
 * it goes on, those that failed are among them: of earlier events only what they carry is looked at.) */
static rf_status take_skips(rf_catch_up_item *item, rf_catalog *catalog, uint64_t until,
                            rf_left_out_list *on_record, rf_err *err)
{
    const rf_left_out_list *had = &item->left_out;

    rf_status status = rf_catalog_skips(catalog, item->name, on_record, err);
    if (status != RF_OK)
        return status;
    free(item->skips);
    item->skip_count = 0;
    item->skips = calloc(had->count + on_record->count + 1, sizeof *item->skips);
    if (!item->skips)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u skips", on_record->count);
    for (uint32_t i = 0; i < had->count; i++)
        if (item->is_behind || had->items[i].cause == RF_CAUSE_ON_RECORD)
            item->skips[item->skip_count++] = had->items[i].position;
    for (uint32_t i = 0; i < on_record->count; i++)
        if (on_record->items[i].position > item->checkpoint.position &&
            on_record->items[i].position <= until)
            item->skips[item->skip_count++] = on_record->items[i].position;
    return RF_OK;
}

/* ---- a fold ---- */

/* What the fold left out after the checkpoint, and what was put aside there. */
static rf_status note_left_out(rf_catch_up_item *item, const rf_left_out_list *on_record,
                               const rf_faults *faults, uint64_t until, rf_err *err)
{
    bool quarantine = item->pinned.manifest.on_error == RF_ON_ERROR_QUARANTINE;
    uint64_t after = item->checkpoint.position;
    rf_status status = RF_OK;

    rf_left_out_list_free(&item->noted);
    rf_left_out_list_init(&item->noted);
    for (uint32_t i = 0; status == RF_OK && i < on_record->count; i++)
        if (on_record->items[i].position > after && on_record->items[i].position <= until)
            status = rf_left_out_list_add(&item->noted, &on_record->items[i], err);
    for (uint32_t i = 0; status == RF_OK && i < faults->count; i++) {
        const rf_fault *fault = &faults->items[i];
        const rf_left_out left_out = {
            .position = fault->position,
            .cause = quarantine ? RF_CAUSE_QUARANTINED : RF_CAUSE_SKIPPED,
            .stream = fault->stream,
            .type = fault->type,
            .reason = fault->reason,
        };
        if (fault->position > after)
            status = rf_left_out_list_add(&item->noted, &left_out, err);
    }
    return status;
}

/* Folds the items that go on from their rows, or those that begin anew. */
static rf_status fold_items(rf_catch_up *catch_up, bool resumed, uint64_t until,
                            const volatile int *cancel, rf_fold_target *targets,
                            rf_left_out_list *on_record, rf_err *err)
{
    const rf_fold_options options = {
        .from = resumed ? rf_catch_up_position(catch_up) + 1 : 0,
        .until = until,
        .memory_bytes = RF_REPLAY_MEMORY_DEFAULT,
        .spill_dir = resumed ? NULL : catch_up->store->path,
        .cancel = cancel,
    };
    rf_fold_stats stats;
    uint32_t count = 0;
    rf_status status = RF_OK;

    for (uint32_t i = 0; i < catch_up->count; i++)
        if (catch_up->items[i].goes_on == resumed)
            rf_catch_up_target(&catch_up->items[i], &targets[count++]);
    if (count == 0)
        return RF_OK;
    status = rf_fold_run(catch_up->store->log, catch_up->pool, targets, count, &options, &stats,
                         err);
    for (uint32_t i = 0, at = 0; i < catch_up->count; i++) {
        rf_catch_up_item *item = &catch_up->items[i];
        if (item->goes_on != resumed)
            continue;
        rf_fold_target *target = &targets[at++];
        if (status == RF_OK)
            status = note_left_out(item, &on_record[i], &target->faults, until, err);
        rf_faults_free(&target->faults);
        item->needs_all = status == RF_OK && target->needs_all;
        if (status != RF_OK)
            continue;
        item->events = (resumed ? item->checkpoint.events : 0) + target->events;
        catch_up->events += target->events;
    }
    return status;
}

static rf_status sort_slot(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    const rf_catch_up *catch_up = arg;
    const rf_catch_up_item *item = &catch_up->items[index % catch_up->count];

    (void)worker, (void)err;
    rf_delta_changes_sort(&item->slots[index / catch_up->count].changes);
    return RF_OK;
}

/* On the workers: who writes them holds all that follow. */
rf_status rf_catch_up_sort_changes(const rf_catch_up *catch_up, rf_err *err)
{
    return rf_pool_run(catch_up->pool, (size_t)catch_up->count * catch_up->items[0].slot_count,
                       sort_slot, (void *)(uintptr_t)catch_up, err);
}

void rf_catch_up_make_move(rf_catch_up_item *item, uint64_t until, int64_t time_last,
                           rf_catalog_move *move)
{
    rf_checkpoint to = item->checkpoint;

    to.position = until;
    if (until > item->checkpoint.position)
        to.events = item->events;
    to.time_last = time_last > to.time_last ? time_last : to.time_last;
    for (uint32_t i = 0; i < item->slot_count; i++) {
        rf_catch_up_slot *slot = &item->slots[i];
        rf_digest_add(&to.digest, &slot->added);
        rf_digest_remove(&to.digest, &slot->removed);
        to.delta_rows += (uint64_t)slot->delta_rows;
        to.delta_bytes += (uint64_t)slot->delta_bytes;
        item->changes[i] = &slot->changes;
    }
    *move = (rf_catalog_move){
        .name = item->name,
        .number = item->number,
        .if_followed = item->if_followed,
        .from = item->checkpoint,
        .to = to,
        .changes = item->changes,
        .change_count = item->slot_count,
        .left_out = item->noted.items,
        .left_out_count = item->noted.count,
    };
}

rf_status rf_catch_up_item_begin(rf_catch_up *catch_up, rf_catch_up_item *item, uint64_t until,
                                 rf_left_out_list *on_record, rf_err *err)
{
    rf_catalog *catalog = catch_up->store->catalog;
    rf_checkpoint checkpoint;

    for (uint32_t i = 0; i < item->slot_count; i++)
        rf_catch_up_slot_clear(&item->slots[i]);
    rf_status status = item->has_new_left_out ? rf_catch_up_read_left_out(item, catalog, err) : RF_OK;
    item->has_new_left_out = false;
    if (status == RF_OK)
        status = take_skips(item, catalog, until, on_record, err);
    if (item->build) /* it has its copy of the delta already */
        return status;
    rf_delta_part_free(&item->delta);
    if (status == RF_OK && !item->goes_on)
        status = rf_rows_take_delta(catalog, &item->pinned, &item->delta, NULL, &checkpoint, err);
    return status;
}

/* Items of which the stored rows turned out to tell too little are folded anew after all. */
static rf_status begin_anew(rf_catch_up *catch_up, uint64_t until, rf_left_out_list *on_record,
                            rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < catch_up->count; i++) {
        rf_catch_up_item *item = &catch_up->items[i];
        if (!item->needs_all || item->build)
            continue;
        if (catch_up->only_goes_on) {
            catch_up->told_too_little = true;
            return rf_fail(err, RF_ERR_REFUSED,
                           "%s: rows of generation %llu do not tell enough to go on from",
                           item->name, (unsigned long long)item->number);
        }
        item->goes_on = item->is_behind = item->needs_all = false;
        rf_left_out_list_free(&on_record[i]);
        status = rf_catch_up_item_begin(catch_up, item, until, &on_record[i], err);
    }
    return status;
}

/* One item of a fold, which goes on from stored rows where it can. */
static rf_status begin_item(rf_catch_up *catch_up, rf_catch_up_item *item, uint64_t until,
                            rf_left_out_list *on_record, rf_err *err)
{
    rf_status status = item->has_new_left_out
                           ? rf_catch_up_read_left_out(item, catch_up->store->catalog, err)
                           : RF_OK;

    item->has_new_left_out = item->needs_all = false;
    item->goes_on = item->is_behind = item->resumes;
    return status == RF_OK ? rf_catch_up_item_begin(catch_up, item, until, on_record, err) : status;
}

/* Step `fold` of tests/model/swap.pml. */
rf_status rf_catch_up_fold(rf_catch_up *catch_up, uint64_t until, const volatile int *cancel,
                           rf_err *err)
{
    uint32_t count = catch_up->count;
    rf_fold_target *targets = calloc(count, sizeof *targets);
    rf_left_out_list *on_record = calloc(count, sizeof *on_record);
    int64_t time_last = RF_TIME_NONE;
    rf_status status = RF_OK;

    RF_ASSERT(until >= rf_catch_up_position(catch_up));
    catch_up->folded_until = until;
    catch_up->told_too_little = false;
    rf_catch_up_forget_broken(catch_up);
    if (!targets || !on_record)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for a catch-up");
    if (status == RF_OK)
        status = rf_catch_up_check_census(catch_up, err);
    for (uint32_t i = 0; status == RF_OK && i < count; i++)
        status = begin_item(catch_up, &catch_up->items[i], until, &on_record[i], err);
    if (status == RF_OK)
        status = find_time(catch_up, until, &time_last, err);
    if (status == RF_OK)
        status = fold_items(catch_up, true, until, cancel, targets, on_record, err);
    if (status == RF_OK)
        status = begin_anew(catch_up, until, on_record, err);
    if (status == RF_OK)
        status = fold_items(catch_up, false, until, cancel, targets, on_record, err);
    if (status == RF_OK)
        status = rf_catch_up_sort_changes(catch_up, err);
    for (uint32_t i = 0; status == RF_OK && i < count; i++)
        rf_catch_up_make_move(&catch_up->items[i], until, time_last, &catch_up->moves[i]);
    for (uint32_t i = 0; on_record && i < count; i++)
        rf_left_out_list_free(&on_record[i]);
    free(on_record);
    free(targets);
    return status;
}

const rf_catalog_move *rf_catch_up_moves(const rf_catch_up *catch_up, uint32_t *count_out)
{
    *count_out = catch_up->count;
    return catch_up->moves;
}

void rf_catch_up_done(rf_catch_up *catch_up)
{
    for (uint32_t i = 0; i < catch_up->count; i++) {
        catch_up->items[i].checkpoint = catch_up->moves[i].to;
        catch_up->items[i].has_new_left_out |= catch_up->items[i].noted.count > 0;
    }
}

/* All items from stored rows: then there are rounds. One that begins anew each time had better do so once. */
static uint64_t round_end(const rf_catch_up *catch_up, uint64_t until)
{
    uint64_t position = rf_catch_up_position(catch_up);

    for (uint32_t i = 0; i < catch_up->count; i++)
        if (!catch_up->items[i].resumes)
            return until;
    return until - position > catch_up->round_events ? position + catch_up->round_events : until;
}

static rf_status move_on(rf_catch_up *catch_up, rf_err *err)
{
    double start = rf_clock_seconds();
    rf_status status =
        rf_catalog_move_on(catch_up->store->catalog, catch_up->moves, catch_up->count, err);

    if (rf_clock_seconds() - start > MOVE_SECONDS && catch_up->round_events > ROUND_EVENTS_MIN)
        catch_up->round_events /= 2;
    return status;
}

rf_status rf_catch_up_run(rf_catch_up *catch_up, uint64_t until, const volatile int *cancel,
                          rf_err *err)
{
    rf_status status = RF_OK;

    while (status == RF_OK && rf_catch_up_position(catch_up) < until) {
        status = rf_catch_up_fold(catch_up, round_end(catch_up, until), cancel, err);
        if (status == RF_OK)
            status = move_on(catch_up, err);
        if (status == RF_OK)
            rf_catch_up_done(catch_up);
    }
    return status;
}
