/* Colours, and what the user pinned: generations that stay beside the live one; see catalog.h.
 *
 * A flip from one version to another makes what it leaves a colour, in its own transaction; a version has
 * one generation, and the live one is no colour. So a version names one generation at any time, and what
 * reads by version never sees none between two flips.
 */
#include "catalog/named.h"
#include "catalog/record.h"

#include <inttypes.h>
#include <stdio.h>

const rf_catalog_colour *rf_catalog_colour_of(const rf_catalog_model *model, uint64_t number)
{
    for (uint32_t i = 0; i < model->colour_count; i++)
        if (model->colours[i].number == number)
            return &model->colours[i];
    return NULL;
}

static void colour_remove(rf_catalog_model *model, uint32_t version)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < model->colour_count; i++)
        if (model->colours[i].version != version)
            model->colours[kept++] = model->colours[i];
    model->colour_count = kept;
}

static void colour_put(rf_catalog_model *model, uint32_t version, uint64_t number)
{
    uint32_t at = model->colour_count++;

    RF_ASSERT(at < RF_CATALOG_COLOURS_MAX);
    for (; at > 0 && model->colours[at - 1].version > version; at--)
        model->colours[at] = model->colours[at - 1];
    model->colours[at] = (rf_catalog_colour){version, number};
}

/* Whether a flip from version `left` to another one leaves no more than `most` colours. */
static bool has_room(const rf_catalog_model *model, uint32_t left, uint32_t to, uint32_t most)
{
    uint32_t others = 0;

    for (uint32_t i = 0; i < model->colour_count; i++)
        others += model->colours[i].version != left && model->colours[i].version != to;
    return left == to || others < most;
}

static rf_status fail_full(const rf_catalog_model *model, const char *what_holds, const char *then,
                           rf_err *err)
{
    return rf_fail(err, RF_ERR_REFUSED,
                   "%s: %u versions are kept beside the live one, and no more can be; %s: `refold "
                   "retire` of %s@%" PRIu32 " ends the oldest, then %s",
                   model->name, model->colour_count, what_holds, model->name,
                   model->colours[0].version, then);
}

rf_status rf_catalog_check_colours(rf_catalog *catalog, const char *name, uint32_t version,
                                   rf_err *err)
{
    rf_catalog_generation live = {.version = version};
    rf_catalog_model model;
    bool found;

    rf_status status = rf_catalog_get_model(catalog, name, &model, &found, err);
    if (status == RF_OK && model.live != 0)
        status = rf_catalog_get_generation(catalog, name, model.live, &live, &found, err);
    if (status == RF_OK && !has_room(&model, live.version, version, RF_CATALOG_COLOURS_SWAP))
        status = fail_full(&model, "nothing was built", "rebuild", err);
    return status;
}

rf_status rf_catalog_flip_colours(rf_catalog_model *model, const rf_catalog_generation *left,
                                  const rf_catalog_generation *to, bool is_rollback, rf_err *err)
{
    uint32_t most = is_rollback ? RF_CATALOG_COLOURS_MAX : RF_CATALOG_COLOURS_SWAP;
    char what_holds[64];

    if (left && !has_room(model, left->version, to->version, most)) {
        (void)snprintf(what_holds, sizeof what_holds, "generation %" PRIu64 " is kept, not live",
                       to->number);
        return fail_full(model, what_holds, "swap", err);
    }
    colour_remove(model, to->version);
    if (!left || left->version == to->version)
        return RF_OK;
    colour_remove(model, left->version);
    colour_put(model, left->version, left->number);
    return RF_OK;
}

static rf_status retire(rf_kv_txn *txn, const rf_named *named, rf_catalog_colour *colour_out,
                        rf_err *err)
{
    rf_catalog_generation generation;
    rf_catalog_model model;

    rf_status status = rf_named_find_in(txn, named, &model, &generation, err);
    if (status == RF_OK && generation.number == model.live)
        return rf_fail(err, RF_ERR_REFUSED,
                       "%s@%" PRIu32 " is live: first make another version live (swap, rollback); "
                       "nothing was changed",
                       named->name, generation.version);
    if (status != RF_OK)
        return status;
    *colour_out = (rf_catalog_colour){generation.version, generation.number};
    colour_remove(&model, generation.version);
    status = rf_record_delete_suspension(txn, named->name, generation.number, err);
    return status == RF_OK ? rf_record_put_model(txn, &model, err) : status;
}

/* Step `retire` of tests/model/swap.pml. */
rf_status rf_catalog_retire(rf_catalog *catalog, const rf_named *named,
                            rf_catalog_colour *colour_out, rf_err *err)
{
    rf_kv_txn *txn;

    RF_ASSERT(named->version != 0);
    rf_status status = rf_kv_begin(catalog->kv, true, &txn, err);
    if (status != RF_OK)
        return status;
    status = retire(txn, named, colour_out, err);
    if (status != RF_OK) {
        rf_kv_abort(txn);
        return status;
    }
    return rf_kv_commit(txn, err);
}

rf_status rf_catalog_set_pinned(rf_catalog *catalog, const char *name, uint64_t number,
                                bool is_pinned, bool *changed_out, rf_err *err)
{
    rf_catalog_generation generation;
    bool found = false;
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(catalog->kv, true, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_get_generation(txn, name, number, &generation, &found, err);
    if (status == RF_OK && !found)
        status = rf_fail(err, RF_ERR_ABSENT, "%s has no sealed generation %" PRIu64, name, number);
    bool changes = status == RF_OK && generation.is_pinned != is_pinned;
    if (changes) {
        generation.is_pinned = is_pinned;
        status = rf_record_put_generation(txn, &generation, err);
    }
    if (status != RF_OK || !changes)
        rf_kv_abort(txn);
    else
        status = rf_kv_commit(txn, err);
    if (status == RF_OK)
        *changed_out = changes;
    return status;
}
