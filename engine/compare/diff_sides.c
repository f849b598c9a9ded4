/* See diff_sides.h. */
#include "compare/diff_sides.h"

#include "catalog/named.h"
#include "catch_up/catch_up_late.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TRIES_MAX = 8 /* times that somebody else may move a generation meanwhile */ };

struct choice {
    char name[64];
    uint64_t before, after, live;
};

/* A version is compared with the live one. */
static rf_status find_version(rf_store *store, const char *text, const rf_diff_options *options,
                              struct choice *choice, uint64_t *number_out, rf_err *err)
{
    rf_catalog_generation generation;
    rf_named named;

    rf_status status = rf_named_parse(text, &named, err);
    if (status != RF_OK)
        return status;
    memcpy(choice->name, named.name, sizeof choice->name);
    *number_out = 0;
    if (named.version == 0)
        return RF_OK;
    status = rf_named_check_number(&named, options->before, err);
    if (status == RF_OK)
        status = rf_named_find(store->catalog, &named, &generation, err);
    if (status == RF_OK)
        *number_out = generation.number;
    return status;
}

static rf_status choose(rf_store *store, const char *text, const rf_diff_options *options,
                        struct choice *choice, rf_err *err)
{
    rf_catalog_model model = {.live = 0};
    bool found = false;
    uint64_t younger = 0;
    uint64_t version_number = 0;

    rf_status status = find_version(store, text, options, choice, &version_number, err);
    if (status == RF_OK)
        status = rf_catalog_get_model(store->catalog, choice->name, &model, &found, err);
    if (status == RF_OK && !found)
        status = rf_fail(err, RF_ERR_ABSENT, "%s: no such read model", choice->name);
    if (status == RF_OK)
        status = rf_catalog_get_younger(store->catalog, choice->name, model.live, &younger, err);
    if (status != RF_OK)
        return status;
    choice->live = model.live;
    choice->before = options->before;
    choice->after = options->after;
    if (choice->before != 0)
        return RF_OK;
    if (model.live == 0)
        return rf_fail(err, RF_ERR_ABSENT, "%s: no generation of it is live: name two", choice->name);
    if (version_number != 0 && version_number != model.live) {
        choice->before = version_number;
        choice->after = model.live;
        return RF_OK;
    }
    if (younger != 0) {
        choice->before = model.live;
        choice->after = younger;
    } else if (model.history_count > 0) {
        choice->before = model.history[model.history_count - 1];
        choice->after = model.live;
    } else {
        return rf_fail(err, RF_ERR_ABSENT,
                       "%s: generation %" PRIu64 " is live, and no other was before or is younger: "
                       "nothing to compare with",
                       choice->name, model.live);
    }
    return RF_OK;
}

static rf_status bring(rf_store *store, rf_pool *pool, const char *name, uint64_t number,
                       uint64_t position, const rf_run *run, rf_err *err)
{
    const rf_catch_up_late_of of = {.name = name, .number = number};
    rf_catch_up_late late = {
        .store = store, .pool = pool, .of = &of, .count = 1, .cancel = run->cancel};

    rf_status status = rf_catch_up_late_run(&late, position, err);
    rf_catch_up_late_close(&late);
    return status;
}

/* What is live moves on only for the holder of FOLLOW. */
static rf_status bring_live(rf_store *store, rf_pool *pool, const char *name, uint64_t number,
                            uint64_t position, const rf_run *run, rf_err *err)
{
    rf_named named;
    int fd = -1;

    rf_status status = rf_named_parse(name, &named, err);
    if (status == RF_OK)
        status = rf_catalog_lock_follow(store->catalog, &named, run->wait_lock_ms, &fd, err);
    if (status == RF_OK)
        status = bring(store, pool, name, number, position, run, err);
    rf_lock_release(fd);
    return status;
}

/* `first` is copied first, `second` brought to where the copy is; or `first` to where `second` is, and all
 * begins again: *met_out tells whether both are open. */
static rf_status meet(rf_store *store, rf_pool *pool, const struct choice *choice,
                      const rf_run *run, rf_diff_sides *sides, bool *met_out, rf_err *err)
{
    bool is_after = choice->live == choice->after;
    uint64_t first = is_after ? choice->after : choice->before;
    uint64_t second = is_after ? choice->before : choice->after;
    rf_diff_side *first_side = is_after ? &sides->after : &sides->before;
    rf_diff_side *second_side = is_after ? &sides->before : &sides->after;
    uint64_t position = 0;

    rf_status status = rf_diff_open(store, choice->name, first, first_side, err);
    if (status == RF_OK)
        status = rf_catalog_get_position(store->catalog, choice->name, second, &position, err);
    if (status != RF_OK)
        return status;
    uint64_t at = first_side->checkpoint.position;
    if (position <= at) {
        status = bring(store, pool, choice->name, second, at, run, err);
        if (status == RF_OK)
            status = rf_diff_open(store, choice->name, second, second_side, err);
        *met_out = status == RF_OK && second_side->checkpoint.position == at;
        return status;
    }
    *met_out = false;
    rf_diff_sides_close(sides); /* FOLLOW is taken before a MANIFEST */
    return first == choice->live
               ? bring_live(store, pool, choice->name, first, position, run, err)
               : bring(store, pool, choice->name, first, position, run, err);
}

static rf_status open_together(rf_store *store, rf_pool *pool, const struct choice *choice,
                               const rf_run *run, rf_diff_sides *sides, rf_err *err)
{
    bool met = false;
    int lock = -1;

    rf_status status = rf_store_lock(store, run->wait_lock_ms, &lock, err);
    for (int tries = 0; status == RF_OK && !met && tries < TRIES_MAX; tries++) {
        rf_diff_sides_close(sides);
        status = meet(store, pool, choice, run, sides, &met, err);
    }
    rf_lock_release(lock);
    if (status == RF_OK && !met)
        status = rf_fail(err, RF_ERR_LOCKED, "%s: its generations are moved on all the time",
                         choice->name);
    return status;
}

rf_status rf_diff_sides_open(rf_store *store, rf_pool *pool, const char *name,
                             const rf_diff_options *options, rf_diff_sides *sides_out, rf_err *err)
{
    struct choice choice = {.live = 0};
    rf_diff_sides sides = {.before = RF_DIFF_NONE, .after = RF_DIFF_NONE};

    rf_status status = choose(store, name, options, &choice, err);
    if (status == RF_OK && options->catch_up && choice.before != choice.after) {
        status = open_together(store, pool, &choice, &options->run, &sides, err);
    } else if (status == RF_OK) {
        status = rf_diff_open(store, choice.name, choice.before, &sides.before, err);
        if (status == RF_OK)
            status = rf_diff_open(store, choice.name, choice.after, &sides.after, err);
    }
    if (status != RF_OK) {
        rf_diff_sides_close(&sides);
        return status;
    }
    sides.live = choice.live;
    *sides_out = sides;
    return RF_OK;
}

void rf_diff_sides_close(rf_diff_sides *sides)
{
    rf_diff_close(&sides->before);
    rf_diff_close(&sides->after);
    sides->before = RF_DIFF_NONE;
    sides->after = RF_DIFF_NONE;
}
