/* Swap and rollback; see refold/generation.h.
 *
 * Which generation a flip goes to is decided here, against the catalog as it is read; the flip itself
 * is refused if another came in between. A swap to a generation that is behind the live one takes
 * LOCK and catches up first; where that turns out at the gates or within the flip only, it begins again
 * with LOCK.
 */
#include "base/machine.h"
#include "catalog/catalog.h"
#include "catch_up/catch_up_late.h"
#include "compare/gates.h"
#include "generation/resolve.h"
#include "refold/generation.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TRIES_MAX = 100 /* times that who follows may be faster */ };

/* One read model of a flip. */
typedef struct flipping_one {
    char name[64];
    uint64_t number; /* that was asked for; 0: the one that the direction gives */
} flipping_one;

/* Flips under way. */
struct flipping {
    rf_store *store;
    const rf_flip_options *options;
    bool catches_up; /* what is to go live is brought to where the live one is */
    flipping_one *ones; /* as many as the next three have; all owned */
    rf_catalog_change *changes;
    uint64_t *from;
    rf_catch_up_late_of *of; /* those that are not live yet */
    uint32_t count;
    rf_catch_up_late late;
    rf_pool *pool; /* made with LOCK, or for gates */
    int lock;
    bool needs_lock;
};

struct rf_flips {
    uint32_t count;
    rf_flip *items;  /* owned */
    flipping_one *names; /* owned */
};

/* The newest sealed generation that is younger than the live one. */
static rf_status newest_of(rf_store *store, const rf_catalog_model *model, uint64_t *number_out,
                           rf_err *err)
{
    rf_status status =
        rf_catalog_get_younger(store->catalog, model->name, model->live, number_out, err);

    if (status == RF_OK && *number_out == 0)
        return rf_fail(err, RF_ERR_ABSENT,
                       "%s: no sealed generation is younger than the live one (%" PRIu64
                       "): nothing to swap to",
                       model->name, model->live);
    return status;
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

/* ---- which read models ---- */

static rf_status check_arguments(const rf_flip_options *options, rf_err *err)
{
    if (options->set != 0 && (options->name_count > 0 || options->generation != 0))
        return rf_fail(err, RF_ERR_USAGE, "a set goes without names and without a generation's number");
    if (options->set == 0 && options->name_count == 0)
        return rf_fail(err, RF_ERR_USAGE, "no read model is named");
    if (options->generation != 0 && options->name_count > 1)
        return rf_fail(err, RF_ERR_USAGE, "a generation's number goes with one read model, not %u",
                       options->name_count);
    for (uint32_t i = 0; i < options->name_count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(options->names[i], options->names[j]) == 0)
                return rf_fail(err, RF_ERR_USAGE, "%s is named twice", options->names[i]);
    return RF_OK;
}

static rf_status make_room(struct flipping *flipping, uint32_t count, rf_err *err)
{
    flipping->ones = calloc(count, sizeof *flipping->ones);
    flipping->changes = calloc(count, sizeof *flipping->changes);
    flipping->from = calloc(count, sizeof *flipping->from);
    flipping->of = calloc(count, sizeof *flipping->of);
    if (!flipping->ones || !flipping->changes || !flipping->from || !flipping->of)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", count);
    return RF_OK;
}

static rf_status take_names(struct flipping *flipping, rf_err *err)
{
    const rf_flip_options *options = flipping->options;
    rf_status status = make_room(flipping, options->name_count, err);

    for (uint32_t i = 0; status == RF_OK && i < options->name_count; i++) {
        flipping_one *one = &flipping->ones[flipping->count++];
        size_t size = strlen(options->names[i]);
        if (strchr(options->names[i], '@'))
            return rf_fail(err, RF_ERR_USAGE,
                           "%s: a flip takes a name without a version, and the generation's number for one "
                           "that it would not take by itself (refold generations)",
                           options->names[i]);
        if (size >= sizeof one->name)
            return rf_fail(err, RF_ERR_ABSENT, "%s: no such read model", options->names[i]);
        memcpy(one->name, options->names[i], size + 1);
        one->number = options->generation;
    }
    return status;
}

/* A rollback of a set takes back what that rebuild made live: all of it is still. */
static rf_status check_is_live(const struct flipping *flipping, const flipping_one *one,
                               uint64_t number, rf_err *err)
{
    rf_catalog_model model;
    bool found;

    rf_status status =
        rf_catalog_get_model(flipping->store->catalog, one->name, &model, &found, err);
    if (status == RF_OK && model.live != number)
        status = rf_fail(err, RF_ERR_ABSENT,
                         "%s: generation %" PRIu64 " of set %" PRIu64 " is not live, %" PRIu64
                         " is; nothing was changed",
                         one->name, number, flipping->options->set, model.live);
    return status;
}

static rf_status take_set(struct flipping *flipping, rf_err *err)
{
    const rf_flip_options *options = flipping->options;
    rf_catalog_generation *known = NULL;
    uint32_t count = 0;

    rf_status status = rf_catalog_generations(flipping->store->catalog, NULL, &known, &count, err);
    if (status == RF_OK)
        status = make_room(flipping, count + 1, err);
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        if (known[i].set != options->set)
            continue;
        flipping_one *one = &flipping->ones[flipping->count++];
        memcpy(one->name, known[i].name, sizeof one->name);
        one->number = options->back ? 0 : known[i].number;
        if (options->back)
            status = check_is_live(flipping, one, known[i].number, err);
    }
    if (status == RF_OK && flipping->count == 0)
        status = rf_fail(err, RF_ERR_ABSENT, "no generation of a set %" PRIu64 " is there",
                         options->set);
    free(known);
    return status;
}

/* ---- one flip ---- */

/* Chooses, and looks whether something has to catch up. */
static rf_status prepare(struct flipping *flipping, uint32_t index, rf_err *err)
{
    rf_catalog_change *change = &flipping->changes[index];
    flipping_one *one = &flipping->ones[index];
    rf_catalog *catalog = flipping->store->catalog;
    uint64_t to = 0, live = 0;

    rf_status status =
        choose(flipping->store, one->name, one->number, flipping->options->back, change, err);
    if (status == RF_OK)
        status = rf_catalog_get_position(catalog, one->name, change->to, &to, err);
    if (status == RF_OK && change->expected != 0)
        status = rf_catalog_get_position(catalog, one->name, change->expected, &live, err);
    if (status != RF_OK || !flipping->catches_up || change->to == change->expected)
        return status;
    flipping->of[flipping->late.count++] =
        (rf_catch_up_late_of){.name = one->name, .number = change->to};
    change->catch_up = rf_catch_up_in_flip;
    change->catch_up_arg = &flipping->late;
    flipping->needs_lock = flipping->needs_lock || to < live;
    return RF_OK;
}

static rf_status prepare_all(struct flipping *flipping, rf_err *err)
{
    rf_status status = RF_OK;

    rf_catch_up_late_close(&flipping->late);
    flipping->late = (rf_catch_up_late){.store = flipping->store,
                                        .pool = flipping->lock >= 0 ? flipping->pool : NULL,
                                        .of = flipping->of,
                                        .asks = flipping->options->gates != NULL,
                                        .cancel = flipping->options->run.cancel};
    for (uint32_t i = 0; status == RF_OK && i < flipping->count; i++)
        status = prepare(flipping, i, err);
    return status;
}

static rf_status take_pool(struct flipping *flipping, rf_err *err)
{
    const rf_run *run = &flipping->options->run;

    return flipping->pool ? RF_OK
                          : rf_pool_new(run->workers_default ? rf_processor_count() : run->workers,
                                        &flipping->pool, err);
}

static rf_status take_lock(struct flipping *flipping, rf_err *err)
{
    rf_status status = rf_store_lock(flipping->store, flipping->options->run.wait_lock_ms,
                                     &flipping->lock, err);

    return status == RF_OK ? take_pool(flipping, err) : status;
}

/* The gates of one, which bring it to where the live one is first. */
static rf_status pass_gates(struct flipping *flipping, uint32_t index, rf_err *err)
{
    const rf_gate_options *options = flipping->options->gates;
    const rf_catalog_change *change = &flipping->changes[index];
    rf_store *store = flipping->store;
    rf_definition *definition = NULL;
    rf_gate_keys keys = {0};
    const rf_gates gates = {store, flipping->pool, options, flipping->options->run.cancel, &keys,
                            flipping->options->set};
    rf_gate_counts counts;
    rf_manifest manifest = {0};
    char dir[RF_PATH_SIZE];

    if (change->to == change->expected)
        return RF_OK;
    rf_status status = rf_catalog_path(store->catalog, change->name, change->to, dir, err);
    if (status == RF_OK)
        status = rf_resolve_kept(store, change->name, change->to, &definition, err);
    if (status == RF_OK && options->expect_keys)
        status = rf_gate_keys_read(options->expect_keys, definition, &keys, err);
    if (status == RF_OK)
        status = rf_manifest_read(dir, &manifest, err);
    if (status == RF_OK)
        status = rf_gates_check(&gates, definition, &manifest, change->expected,
                                &flipping->late, &counts, err);
    rf_manifest_free(&manifest);
    rf_gate_keys_free(&keys);
    rf_definition_free(definition);
    return status;
}

static rf_status try_flip(struct flipping *flipping, rf_err *err)
{
    const rf_flip_options *options = flipping->options;
    rf_status status = options->gates ? take_pool(flipping, err) : RF_OK;

    if (status == RF_OK && flipping->lock >= 0)
        status = rf_catch_up_late_rounds(&flipping->late, false, err);
    for (uint32_t i = 0; status == RF_OK && options->gates && i < flipping->count; i++)
        status = pass_gates(flipping, i, err);
    if (status == RF_OK)
        status = rf_catch_up_flip(flipping->store->catalog, flipping->changes, flipping->count,
                                  options->run.wait_lock_ms, flipping->from, err);
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
        status = prepare_all(flipping, &failure);
        if (status == RF_OK)
            status = try_flip(flipping, &failure);
        again = status == RF_ERR_LOCKED && flipping->late.in_flip;
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
        flipping->needs_lock = flipping->late.is_due;
        if (!flipping->needs_lock)
            return status;
        status = RF_OK;
    }
    if (status == RF_OK)
        status = take_lock(flipping, err);
    return status == RF_OK ? flip_caught_up(flipping, err) : status;
}

/* ---- all of it ---- */

static rf_status report(struct flipping *flipping, rf_flips **flips_out, rf_err *err)
{
    rf_flips *flips = calloc(1, sizeof *flips);
    rf_log_info info = {0};
    rf_status status = rf_log_get_info(flipping->store->log, &info, err);

    if (flips)
        flips->items = calloc(flipping->count, sizeof *flips->items);
    if (status == RF_OK && (!flips || !flips->items))
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", flipping->count);
    for (uint32_t i = 0; status == RF_OK && i < flipping->count; i++) {
        const rf_catalog_change *change = &flipping->changes[i];
        uint64_t position = 0;
        status = rf_catalog_get_position(flipping->store->catalog, change->name, change->to,
                                         &position, err);
        flips->items[flips->count++] = (rf_flip){
            .name = flipping->ones[i].name,
            .from = flipping->from[i],
            .to = change->to,
            .position = position,
            .behind = info.position > position ? info.position - position : 0,
        };
    }
    if (status != RF_OK) {
        rf_flips_free(flips);
        return status;
    }
    flips->names = flipping->ones; /* handed over */
    flipping->ones = NULL;
    *flips_out = flips;
    return RF_OK;
}

const rf_flip *rf_flips_items(const rf_flips *flips, uint32_t *count_out)
{
    *count_out = flips->count;
    return flips->items;
}

void rf_flips_free(rf_flips *flips)
{
    if (!flips)
        return;
    free(flips->items);
    free(flips->names);
    free(flips);
}

/* Step `operator` of tests/model/swap.pml. */
rf_status rf_flip_run(rf_store *store, const rf_flip_options *options, rf_flips **flips_out,
                      rf_err *err)
{
    struct flipping flipping = {.store = store,
                                .options = options,
                                .catches_up = !options->back || options->catch_up,
                                .lock = -1};
    rf_status status = check_arguments(options, err);

    if (status == RF_OK && options->gates && options->gates->expect_keys &&
        options->name_count != 1)
        status = rf_fail(err, RF_ERR_USAGE, "--expect-keys goes with one read model");
    if (status == RF_OK) /* or it would be chosen by what is not so any more */
        status = rf_kv_settle(rf_catalog_kv(store->catalog), err);
    if (status == RF_OK)
        status = options->set ? take_set(&flipping, err) : take_names(&flipping, err);
    if (status == RF_OK)
        status = run(&flipping, err);
    rf_catch_up_late_close(&flipping.late);
    if (status == RF_OK)
        status = report(&flipping, flips_out, err);
    rf_pool_free(flipping.pool);
    rf_lock_release(flipping.lock);
    free(flipping.ones);
    free(flipping.changes);
    free(flipping.from);
    free(flipping.of);
    return status;
}

/* ---- in short ---- */

static rf_status flip(rf_store *store, const rf_flip_options *options, rf_flip *flips_out,
                      rf_err *err)
{
    rf_flips *flips = NULL;
    rf_status status = rf_flip_run(store, options, &flips, err);

    for (uint32_t i = 0; status == RF_OK && i < flips->count; i++) {
        flips_out[i] = flips->items[i];
        flips_out[i].name = options->names[i];
    }
    rf_flips_free(flips);
    return status;
}

rf_status rf_swap(rf_store *store, const char *const *names, uint32_t name_count, uint64_t number,
                  int64_t wait_lock_ms, rf_flip *flips_out, rf_err *err)
{
    const rf_flip_options options = {
        .names = names,
        .name_count = name_count,
        .generation = number,
        .run = {.workers_default = true, .wait_lock_ms = wait_lock_ms},
    };

    return flip(store, &options, flips_out, err);
}

rf_status rf_rollback(rf_store *store, const char *const *names, uint32_t name_count,
                      uint64_t number, int64_t wait_lock_ms, rf_flip *flips_out, rf_err *err)
{
    const rf_flip_options options = {
        .names = names,
        .name_count = name_count,
        .generation = number,
        .back = true,
        .run = {.workers_default = true, .wait_lock_ms = wait_lock_ms},
    };

    return flip(store, &options, flips_out, err);
}

rf_status rf_rollback_caught_up(rf_store *store, const char *const *names, uint32_t name_count,
                                uint64_t number, int64_t wait_lock_ms, rf_flip *flips_out,
                                rf_err *err)
{
    const rf_flip_options options = {
        .names = names,
        .name_count = name_count,
        .generation = number,
        .back = true,
        .catch_up = true,
        .run = {.workers_default = true, .wait_lock_ms = wait_lock_ms},
    };

    return flip(store, &options, flips_out, err);
}
