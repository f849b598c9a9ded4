/* Making generations live; see catalog.h.
 *
 * History is what rollback goes back along: each generation stands in it once, where it was live
 * last. A rollback cuts it at its target, so the next one goes further back. A content that a
 * rollback left for another one is held until a flip goes to it. A version that a flip leaves for another
 * one becomes a colour (catalog_colour.c).
 */
#include "catalog/record.h"

#include <inttypes.h>
#include <stdlib.h>

#define COUNT_OF(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

static bool same_hash(rf_hash128 a, rf_hash128 b)
{
    return a.low == b.low && a.high == b.high;
}

static void history_remove(rf_catalog_model *model, uint64_t number)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < model->history_count; i++)
        if (model->history[i] != number)
            model->history[kept++] = model->history[i];
    model->history_count = kept;
}

static void history_push(rf_catalog_model *model, uint64_t number)
{
    history_remove(model, number);
    if (model->history_count == COUNT_OF(model->history)) {
        model->history_count--;
        memmove(model->history, model->history + 1,
                model->history_count * sizeof model->history[0]);
    }
    model->history[model->history_count++] = number;
}

static void held_remove(rf_catalog_model *model, rf_hash128 content)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < model->held_count; i++)
        if (!same_hash(model->held[i].content, content))
            model->held[kept++] = model->held[i];
    model->held_count = kept;
}

static void held_add(rf_catalog_model *model, const rf_catalog_generation *left)
{
    held_remove(model, left->content_hash);
    if (model->held_count == COUNT_OF(model->held)) {
        model->held_count--;
        memmove(model->held, model->held + 1, model->held_count * sizeof model->held[0]);
    }
    model->held[model->held_count++] = (rf_catalog_held){left->content_hash, left->version};
}

/* Cuts the history at `to`; false if it is not in it. */
static bool history_cut(rf_catalog_model *model, uint64_t to)
{
    for (uint32_t i = model->history_count; i-- > 0;)
        if (model->history[i] == to) {
            model->history_count = i;
            return true;
        }
    return false;
}

/* What one change is about, as its transaction has it. */
struct affected {
    rf_catalog_model model;
    rf_catalog_generation to;
    rf_catalog_generation left; /* that is live */
    bool has_left;
};

/* Whether a change can be. */
static rf_status read_affected(rf_kv_txn *txn, const rf_catalog_change *change,
                               struct affected *affected_out, rf_err *err)
{
    struct affected *affected = affected_out;
    bool found;

    affected->has_left = false;
    rf_status status = rf_record_get_model(txn, change->name, &affected->model, &found, err);
    if (status == RF_OK)
        status = rf_record_get_generation(txn, change->name, change->to, &affected->to, &found, err);
    if (status == RF_OK && !found)
        return rf_fail(err, RF_ERR_ABSENT, "%s has no sealed generation %" PRIu64, change->name,
                       change->to);
    if (status == RF_OK && affected->to.replaced_by == change->to)
        return rf_fail(err, RF_ERR_ABSENT,
                       "%s: generation %" PRIu64 " was made by a merge that has not ended", change->name,
                       change->to);
    if (status == RF_OK && affected->to.replaced_by != 0)
        return rf_fail(err, RF_ERR_ABSENT,
                       "%s: generation %" PRIu64 " has the place of %" PRIu64 ", with its rows",
                       change->name, affected->to.replaced_by, change->to);
    uint64_t live = affected->model.live;
    if (status == RF_OK && change->expected != RF_CATALOG_ANY && change->expected != live)
        return rf_fail(err, RF_ERR_LOCKED,
                       "%s: another flip came between: generation %" PRIu64 " is live, not %" PRIu64
                       "; nothing was changed",
                       change->name, live, change->expected);
    if (status == RF_OK && live != 0)
        status = rf_record_get_generation(txn, change->name, live, &affected->left,
                                          &affected->has_left, err);
    return status;
}

static rf_status apply_change(rf_kv_txn *txn, const rf_catalog_change *change, uint64_t epoch,
                              uint64_t *from_out, rf_err *err)
{
    struct affected affected;
    rf_catalog_model *model = &affected.model;
    const rf_catalog_generation *to = &affected.to;

    rf_status status = read_affected(txn, change, &affected, err);
    if (status != RF_OK)
        return status;
    const rf_catalog_generation *left = affected.has_left ? &affected.left : NULL;
    if (change->lifts_hold || change->is_rollback)
        held_remove(model, to->content_hash);
    *from_out = model->live;
    if (change->to != model->live) {
        if (change->is_rollback && !history_cut(model, change->to))
            return rf_fail(err, RF_ERR_ABSENT,
                           "%s: generation %" PRIu64
                           " was not live before; `swap --generation` takes any",
                           change->name, change->to);
        if (change->is_rollback && left && !same_hash(left->content_hash, to->content_hash))
            held_add(model, left);
        if (!change->is_rollback && model->live != 0)
            history_push(model, model->live);
        history_remove(model, change->to);
        status = rf_catalog_flip_colours(model, left, to, change->is_rollback, err);
        if (status != RF_OK)
            return status;
        model->live = change->to;
    }
    model->epoch = epoch;
    return rf_record_put_model(txn, model, err);
}

/* How far the changes from `first` on that catch up with it have to come; 0 where none of them is behind. */
static rf_status needed_position(rf_kv_txn *txn, const rf_catalog_change *changes, uint32_t first,
                                 uint32_t count, uint64_t *position_out, rf_err *err)
{
    rf_status status = RF_OK;

    *position_out = 0;
    for (uint32_t i = first; status == RF_OK && i < count; i++) {
        struct affected affected;
        if (!changes[i].catch_up || changes[i].catch_up_arg != changes[first].catch_up_arg)
            continue;
        status = read_affected(txn, &changes[i], &affected, err);
        if (status == RF_OK && affected.has_left &&
            affected.to.position < affected.left.position && affected.left.position > *position_out)
            *position_out = affected.left.position;
    }
    return status;
}

/* What goes live has every event that what was live has: the last of them come here, in the flip's
 * own transaction, which followers wait for. Step `late` of tests/model/swap.pml. */
static rf_status catch_up(rf_kv_txn *txn, const rf_catalog_change *changes, uint32_t first,
                          uint32_t count, rf_err *err)
{
    const rf_catalog_change *change = &changes[first];
    const rf_catalog_move *moves = NULL;
    uint32_t move_count = 0;
    uint64_t position = 0;

    for (uint32_t i = 0; i < first; i++)
        if (changes[i].catch_up && changes[i].catch_up_arg == change->catch_up_arg)
            return RF_OK; /* with that one */
    rf_status status =
        change->catch_up ? needed_position(txn, changes, first, count, &position, err) : RF_OK;
    if (status != RF_OK || position == 0)
        return status;
    status = change->catch_up(change->catch_up_arg, position, &moves, &move_count, err);
    for (uint32_t i = 0; status == RF_OK && i < move_count; i++)
        status = rf_catalog_apply_move(txn, &moves[i], err);
    return status;
}

static rf_status check_targets(rf_catalog *catalog, const rf_catalog_change *changes,
                               uint32_t count, rf_err *err)
{
    for (uint32_t i = 0; i < count; i++) {
        rf_catalog_generation generation;
        rf_manifest manifest;
        bool found;
        rf_status status = rf_catalog_get_generation(catalog, changes[i].name, changes[i].to,
                                                     &generation, &found, err);
        if (status == RF_OK && !found)
            status = rf_fail(err, RF_ERR_ABSENT, "%s has no sealed generation %" PRIu64,
                             changes[i].name, changes[i].to);
        if (status == RF_OK)
            status = rf_catalog_check_manifest(catalog, &generation, &manifest, err);
        if (status != RF_OK)
            return status;
        rf_manifest_free(&manifest);
    }
    return RF_OK;
}

/* What a flip is asked for, and what was live. */
struct flip {
    const rf_catalog_change *changes;
    uint32_t count;
    uint64_t *from;
};

/* Step `flip` of tests/model/swap.pml. */
static rf_status apply_changes(void *arg, rf_kv_txn *txn, uint64_t epoch, rf_err *err)
{
    const struct flip *flip = arg;
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < flip->count; i++)
        status = catch_up(txn, flip->changes, i, flip->count, err);
    for (uint32_t i = 0; status == RF_OK && i < flip->count; i++)
        status = apply_change(txn, &flip->changes[i], epoch, &flip->from[i], err);
    return status;
}

rf_status rf_catalog_flip(rf_catalog *catalog, const rf_catalog_change *changes, uint32_t count,
                          int64_t wait_lock_ms, uint64_t *from_out, rf_err *err)
{
    int lock = -1;

    RF_ASSERT(count > 0);
    struct flip flip = {changes, count, calloc(count, sizeof *flip.from)};
    if (!flip.from)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u changes", count);
    rf_status status = rf_catalog_lock_swap(catalog, wait_lock_ms, &lock, err);
    if (status == RF_OK)
        status = check_targets(catalog, changes, count, err);
    if (status == RF_OK)
        status = rf_catalog_change_live(catalog, apply_changes, &flip, "the swap", err);
    if (status == RF_OK)
        memcpy(from_out, flip.from, count * sizeof *from_out);
    rf_lock_release(lock);
    free(flip.from);
    return status;
}
