/* Swap and rollback; see refold/generation.h.
 *
 * Which generation a flip goes to is decided here, against the catalog as it is read; the flip itself
 * is refused if another came in between. A swap to a generation that is behind the live one takes
 * LOCK and catches up first; where that turns out within the flip only, it begins again with LOCK.
 */
#include "base/machine.h"
#include "catalog/catalog.h"
#include "catch_up_late.h"
#include "refold/generation.h"
#include "store.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TRIES_MAX = 100 /* times that who follows may be faster */ };

/* Flips under way. */
struct flipping {
    rf_store *store;
    const char *const *names;
    uint32_t count;
    uint64_t number;
    bool is_rollback;
    bool catches_up; /* what is to go live is brought to where the live one is */
    int64_t wait_lock_ms;
    rf_catalog_change *changes;
    rf_catch_up_late *late;
    uint64_t *from;
    rf_pool *pool; /* with LOCK */
    int lock;
    bool needs_lock;
};

/* The newest sealed generation that is younger than the live one. */
static rf_status newest_of(rf_store *store, const rf_catalog_model *model, uint64_t *number_out,
                           rf_err *err)
{
    rf_catalog_generation *known = NULL;
    uint32_t count = 0;
    uint64_t newest = 0;

    rf_status status = rf_catalog_generations(store->catalog, model->name, &known, &count, err);
    if (status != RF_OK)
        return status;
    for (uint32_t i = 0; i < count; i++)
        if (known[i].number > newest)
            newest = known[i].number;
    free(known);
    if (newest <= model->live)
        return rf_fail(err, RF_ERR_ABSENT,
                       "%s: no sealed generation is younger than the live one (%" PRIu64
                       "): nothing to swap to",
                       model->name, model->live);
    *number_out = newest;
    return RF_OK;
}

static rf_status back_of(const rf_catalog_model *model, uint64_t *number_out, rf_err *err)
{
    if (model->history_count == 0)
        return rf_fail(err, RF_ERR_ABSENT,
                       "%s: no generation that was live before is left: nothing to roll back to",
                       model->name);
    *number_out = model->history[model->history_count - 1];
    return RF_OK;
}

static rf_status choose(rf_store *store, const char *name, uint64_t number, bool is_rollback,
                        rf_catalog_change *change, rf_err *err)
{
    rf_catalog_model model;
    bool found;

    rf_status status = rf_catalog_get_model(store->catalog, name, &model, &found, err);
    if (status != RF_OK)
        return status;
    if (!found)
        return rf_fail(err, RF_ERR_ABSENT, "%s: no such read model", name);
    if (is_rollback && model.live == 0)
        return rf_fail(err, RF_ERR_ABSENT, "%s: no generation of it is live", name);
    if (number == 0)
        status =
            is_rollback ? back_of(&model, &number, err) : newest_of(store, &model, &number, err);
    *change = (rf_catalog_change){
        .name = name,
        .to = number,
        .expected = model.live,
        .is_rollback = is_rollback,
        .lifts_hold = !is_rollback,
    };
    return status;
}

static rf_status check_arguments(const struct flipping *flipping, rf_err *err)
{
    if (flipping->count == 0)
        return rf_fail(err, RF_ERR_USAGE, "no read model is named");
    if (flipping->number != 0 && flipping->count > 1)
        return rf_fail(err, RF_ERR_USAGE, "a generation's number goes with one read model, not %u",
                       flipping->count);
    for (uint32_t i = 0; i < flipping->count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(flipping->names[i], flipping->names[j]) == 0)
                return rf_fail(err, RF_ERR_USAGE, "%s is named twice", flipping->names[i]);
    return RF_OK;
}

/* Without LOCK nothing may be moved: then all begins again. */
static rf_status catch_up_in_flip(void *arg, uint64_t position, const rf_catalog_move **move_out,
                                  rf_err *err)
{
    rf_catch_up_late *late = arg;

    if (late->pool)
        return rf_catch_up_in_flip(late, position, move_out, err);
    late->in_flip = true;
    return rf_fail(err, RF_ERR_LOCKED, "%s: the live generation moved on meanwhile", late->name);
}

/* Chooses, and looks whether something has to catch up. */
static rf_status prepare(struct flipping *flipping, uint32_t index, rf_err *err)
{
    rf_catalog_change *change = &flipping->changes[index];
    const char *name = flipping->names[index];
    uint64_t to = 0, live = 0;

    rf_status status =
        choose(flipping->store, name, flipping->number, flipping->is_rollback, change, err);
    if (status == RF_OK)
        status = rf_catalog_get_position(flipping->store->catalog, name, change->to, &to, err);
    if (status == RF_OK && change->expected != 0)
        status = rf_catalog_get_position(flipping->store->catalog, name, change->expected, &live, err);
    if (status != RF_OK || !flipping->catches_up)
        return status;
    flipping->late[index] = (rf_catch_up_late){.store = flipping->store,
                                               .pool = flipping->pool,
                                               .name = name,
                                               .number = change->to};
    change->catch_up = catch_up_in_flip;
    change->catch_up_arg = &flipping->late[index];
    flipping->needs_lock = flipping->needs_lock || to < live;
    return RF_OK;
}

static rf_status prepare_all(struct flipping *flipping, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < flipping->count; i++)
        status = prepare(flipping, i, err);
    return status;
}

static rf_status take_lock(struct flipping *flipping, rf_err *err)
{
    rf_status status =
        rf_store_lock(flipping->store, flipping->wait_lock_ms, &flipping->lock, err);

    if (status == RF_OK)
        status = rf_pool_new(rf_processor_count(), &flipping->pool, err);
    return status;
}

static rf_status try_flip(struct flipping *flipping, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && flipping->pool && i < flipping->count; i++)
        status = rf_catch_up_late_rounds(&flipping->late[i], false, err);
    if (status == RF_OK)
        status = rf_catalog_flip(flipping->store->catalog, flipping->changes, flipping->count,
                                 flipping->wait_lock_ms, flipping->from, err);
    return status;
}

/* With LOCK: what goes live is brought to where the live one is, the last of it in the flip. A colour that is
 * followed may move in between, and the flip is refused: then once more, from where it is. */
static rf_status flip_caught_up(struct flipping *flipping, rf_err *err)
{
    rf_status status = RF_OK;
    bool again = true;

    for (int tries = 0; again && tries < TRIES_MAX; tries++) {
        rf_err failure = {0};
        again = false;
        for (uint32_t i = 0; i < flipping->count; i++)
            rf_catch_up_late_close(&flipping->late[i]);
        status = prepare_all(flipping, &failure);
        if (status == RF_OK)
            status = try_flip(flipping, &failure);
        for (uint32_t i = 0; status == RF_ERR_LOCKED && i < flipping->count; i++)
            again = again || flipping->late[i].in_flip;
        if (status != RF_OK && err)
            *err = failure;
    }
    return status;
}

static rf_status run(struct flipping *flipping, rf_err *err)
{
    rf_status status = prepare_all(flipping, err);

    if (status == RF_OK && !flipping->needs_lock) {
        rf_err failure = {0};
        status = try_flip(flipping, &failure);
        if (status != RF_OK && err)
            *err = failure;
        /* Whoever follows the live one was faster: with LOCK, then. */
        for (uint32_t i = 0; i < flipping->count; i++)
            flipping->needs_lock = flipping->needs_lock || flipping->late[i].in_flip;
        if (!flipping->needs_lock)
            return status;
        status = RF_OK;
    }
    if (status == RF_OK)
        status = take_lock(flipping, err);
    return status == RF_OK ? flip_caught_up(flipping, err) : status;
}

static rf_status report(const struct flipping *flipping, rf_flip *flips_out, rf_err *err)
{
    rf_log_info info = {0};
    rf_status status = rf_log_get_info(flipping->store->log, &info, err);

    for (uint32_t i = 0; status == RF_OK && i < flipping->count; i++) {
        uint64_t position = 0;
        status = rf_catalog_get_position(flipping->store->catalog, flipping->names[i], flipping->changes[i].to,
                              &position, err);
        flips_out[i] = (rf_flip){
            .name = flipping->names[i],
            .from = flipping->from[i],
            .to = flipping->changes[i].to,
            .position = position,
            .behind = info.position > position ? info.position - position : 0,
        };
    }
    return status;
}

static rf_status flip(struct flipping *flipping, rf_flip *flips_out, rf_err *err)
{
    rf_status status = check_arguments(flipping, err);

    if (status != RF_OK)
        return status;
    flipping->lock = -1;
    flipping->changes = calloc(flipping->count, sizeof *flipping->changes);
    flipping->late = calloc(flipping->count, sizeof *flipping->late);
    flipping->from = calloc(flipping->count, sizeof *flipping->from);
    if (!flipping->changes || !flipping->late || !flipping->from)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", flipping->count);
    if (status == RF_OK)
        status = run(flipping, err);
    if (status == RF_OK)
        status = report(flipping, flips_out, err);
    for (uint32_t i = 0; flipping->late && i < flipping->count; i++)
        rf_catch_up_late_close(&flipping->late[i]);
    rf_pool_free(flipping->pool);
    rf_lock_release(flipping->lock);
    free(flipping->changes);
    free(flipping->late);
    free(flipping->from);
    return status;
}

/* Step `operator` of tests/model/swap.pml. */
rf_status rf_swap(rf_store *store, const char *const *names, uint32_t name_count, uint64_t number,
                  int64_t wait_lock_ms, rf_flip *flips_out, rf_err *err)
{
    struct flipping flipping = {.store = store,
                                .names = names,
                                .count = name_count,
                                .number = number,
                                .catches_up = true,
                                .wait_lock_ms = wait_lock_ms};

    return flip(&flipping, flips_out, err);
}

rf_status rf_rollback(rf_store *store, const char *const *names, uint32_t name_count,
                      uint64_t number, int64_t wait_lock_ms, rf_flip *flips_out, rf_err *err)
{
    struct flipping flipping = {.store = store,
                                .names = names,
                                .count = name_count,
                                .number = number,
                                .is_rollback = true,
                                .wait_lock_ms = wait_lock_ms};

    return flip(&flipping, flips_out, err);
}

rf_status rf_rollback_caught_up(rf_store *store, const char *const *names, uint32_t name_count,
                                uint64_t number, int64_t wait_lock_ms, rf_flip *flips_out,
                                rf_err *err)
{
    struct flipping flipping = {.store = store,
                                .names = names,
                                .count = name_count,
                                .number = number,
                                .is_rollback = true,
                                .catches_up = true,
                                .wait_lock_ms = wait_lock_ms};

    return flip(&flipping, flips_out, err);
}
