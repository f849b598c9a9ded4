/* Colours and pins as the library shows them: what stays beside the live generation; see
 * refold/generation.h. */
#include "catalog/named.h"
#include "refold/generation.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdlib.h>

rf_status rf_generation_find(rf_store *store, const char *name, uint64_t *number_out, rf_err *err)
{
    rf_catalog_generation generation;
    rf_named named;

    rf_status status = rf_named_parse(name, &named, err);
    if (status == RF_OK)
        status = rf_named_find(store->catalog, &named, &generation, err);
    if (status == RF_OK)
        *number_out = generation.number;
    return status;
}

static rf_status bytes_of(rf_store *store, const char *name, uint64_t number, uint64_t *bytes_out,
                          rf_err *err)
{
    rf_generations *list = NULL;
    uint32_t count = 0;

    *bytes_out = 0;
    rf_status status = rf_generations_list(store, name, &list, err);
    if (status != RF_OK)
        return status;
    const rf_generation *items = rf_generations_items(list, &count);
    for (uint32_t i = 0; i < count; i++)
        if (items[i].number == number)
            *bytes_out = items[i].bytes;
    rf_generations_free(list);
    return RF_OK;
}

rf_status rf_retire(rf_store *store, const char *name, rf_retired *retired_out, rf_err *err)
{
    rf_catalog_generation generation;
    rf_catalog_colour colour;
    uint64_t bytes = 0;
    rf_named named;

    rf_status status = rf_named_parse(name, &named, err);
    if (status == RF_OK && named.version == 0)
        status = rf_fail(err, RF_ERR_USAGE, "%s: which version is to be retired? NAME@VERSION", name);
    if (status == RF_OK)
        status = rf_named_find(store->catalog, &named, &generation, err);
    if (status == RF_OK) /* before it may be gone */
        status = bytes_of(store, named.name, generation.number, &bytes, err);
    if (status == RF_OK)
        status = rf_catalog_retire(store->catalog, &named, &colour, err);
    if (status == RF_OK)
        *retired_out = (rf_retired){colour.number, bytes};
    return status;
}

rf_status rf_generation_pin(rf_store *store, const char *name, uint64_t number, uint64_t *number_out,
                 rf_err *err)
{
    rf_catalog_generation generation;
    bool changed = false;
    rf_named named;

    rf_status status = rf_named_parse(name, &named, err);
    if (status == RF_OK)
        status = rf_named_find_number(store->catalog, &named, number, &generation, err);
    if (status == RF_OK)
        status = rf_catalog_set_pinned(store->catalog, named.name, generation.number, true, &changed,
                                       err);
    if (status == RF_OK)
        *number_out = generation.number;
    return status;
}

/* Every pinned one, of one version or of all (0). */
static rf_status unpin_all(rf_store *store, const rf_named *named, uint32_t *count_out, rf_err *err)
{
    rf_catalog_generation *known = NULL;
    rf_catalog_model model;
    uint32_t count = 0;
    bool found = false;

    rf_status status = rf_catalog_get_model(store->catalog, named->name, &model, &found, err);
    if (status == RF_OK && !found)
        status = rf_fail(err, RF_ERR_ABSENT, "%s: no such read model", named->name);
    if (status == RF_OK)
        status = rf_catalog_generations(store->catalog, named->name, &known, &count, err);
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        bool changed = false;
        if (!known[i].is_pinned || (named->version != 0 && named->version != known[i].version))
            continue;
        status = rf_catalog_set_pinned(store->catalog, named->name, known[i].number, false, &changed,
                                       err);
        *count_out += changed ? 1 : 0;
    }
    free(known);
    return status;
}

rf_status rf_generation_unpin(rf_store *store, const char *name, uint64_t number, uint32_t *count_out,
                   rf_err *err)
{
    bool changed = false;
    rf_named named;

    *count_out = 0;
    rf_status status = rf_named_parse(name, &named, err);
    if (status == RF_OK)
        status = rf_named_check_number(&named, number, err);
    if (status == RF_OK && number == 0)
        return unpin_all(store, &named, count_out, err);
    if (status == RF_OK)
        status = rf_catalog_set_pinned(store->catalog, named.name, number, false, &changed, err);
    *count_out = changed ? 1 : 0;
    return status;
}
