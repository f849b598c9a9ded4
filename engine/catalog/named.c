/* See named.h. */
#include "catalog/named.h"

#include "catalog/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

rf_status rf_named_parse(const char *text, rf_named *named_out, rf_err *err)
{
    const char *at = strchr(text, '@');
    size_t size = at ? (size_t)(at - text) : strlen(text);
    rf_named named = {.version = 0};

    if (size < sizeof named.name)
        memcpy(named.name, text, size);
    if (size >= sizeof named.name || !rf_record_name_valid(named.name))
        return rf_fail(err, RF_ERR_ABSENT, "%s: no such read model", text);
    if (at) {
        char *end = NULL;
        unsigned long version = at[1] > '0' && at[1] <= '9' ? strtoul(at + 1, &end, 10) : 0;
        if (version == 0 || *end != '\0' || version > UINT32_MAX || end - at > 11)
            return rf_fail(err, RF_ERR_USAGE, "%s: behind the @ stands the version of a definition, as "
                                              "in %s@3",
                           text, named.name);
        named.version = (uint32_t)version;
    }
    *named_out = named;
    return RF_OK;
}

void rf_named_format(const rf_named *named, char text_out[RF_NAMED_TEXT_SIZE])
{
    if (named->version == 0)
        (void)snprintf(text_out, RF_NAMED_TEXT_SIZE, "%s", named->name);
    else
        (void)snprintf(text_out, RF_NAMED_TEXT_SIZE, "%s@%" PRIu32, named->name, named->version);
}

bool rf_named_equal(const rf_named *left, const rf_named *right)
{
    return left->version == right->version && strcmp(left->name, right->name) == 0;
}

static rf_status no_version(const rf_named *named, const rf_catalog_model *model,
                            const rf_catalog_generation *live, rf_err *err)
{
    char versions[RF_CATALOG_COLOURS_MAX * 13 + 1] = "";
    size_t size = 0;

    for (uint32_t i = 0; i < model->colour_count; i++)
        size += (size_t)snprintf(versions + size, sizeof versions - size, ", @%" PRIu32,
                                 model->colours[i].version);
    return rf_fail(err, RF_ERR_ABSENT,
                   "%s@%" PRIu32 ": no such version is kept; there %s @%" PRIu32 " (live)%s",
                   named->name, named->version, size > 0 ? "are" : "is", live->version, versions);
}

rf_status rf_named_find_in(rf_kv_txn *txn, const rf_named *named, rf_catalog_model *model_out,
                           rf_catalog_generation *generation_out, rf_err *err)
{
    rf_catalog_generation generation;
    rf_catalog_model model;
    bool found;

    rf_status status = rf_record_get_model(txn, named->name, &model, &found, err);
    if (status == RF_OK && !found)
        status = rf_fail(err, RF_ERR_ABSENT, "%s: no such read model", named->name);
    if (status == RF_OK && model.live == 0)
        status = rf_fail(err, RF_ERR_ABSENT, "%s: no generation of it is live", named->name);
    if (status != RF_OK)
        return status;
    uint64_t number = model.live;
    status = rf_record_get_generation(txn, named->name, number, &generation, &found, err);
    if (status == RF_OK && found && named->version != 0 && named->version != generation.version) {
        number = 0;
        for (uint32_t i = 0; i < model.colour_count; i++)
            if (model.colours[i].version == named->version)
                number = model.colours[i].number;
        if (number == 0)
            return no_version(named, &model, &generation, err);
        status = rf_record_get_generation(txn, named->name, number, &generation, &found, err);
    }
    if (status == RF_OK && !found)
        status = rf_fail(err, RF_ERR_DAMAGED,
                         "live/: damaged: the catalog has lost generation %" PRIu64 " of %s", number,
                         named->name);
    if (status != RF_OK)
        return status;
    *generation_out = generation;
    if (model_out)
        *model_out = model;
    return RF_OK;
}

rf_status rf_named_find(rf_catalog *catalog, const rf_named *named,
                        rf_catalog_generation *generation_out, rf_err *err)
{
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(catalog->kv, false, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_named_find_in(txn, named, NULL, generation_out, err);
    rf_kv_abort(txn);
    return status;
}

rf_status rf_named_check_number(const rf_named *named, uint64_t number, rf_err *err)
{
    if (named->version == 0 || number == 0)
        return RF_OK;
    return rf_fail(err, RF_ERR_USAGE,
                   "%s@%" PRIu32 " and generation %" PRIu64 ": either a version or a number", named->name,
                   named->version, number);
}

rf_status rf_named_find_number(rf_catalog *catalog, const rf_named *named, uint64_t number,
                               rf_catalog_generation *generation_out, rf_err *err)
{
    bool found = false;

    if (number == 0)
        return rf_named_find(catalog, named, generation_out, err);
    rf_status status = rf_named_check_number(named, number, err);
    if (status == RF_OK)
        status = rf_catalog_get_generation(catalog, named->name, number, generation_out, &found, err);
    if (status == RF_OK && !found)
        status = rf_fail(err, RF_ERR_ABSENT, "%s has no sealed generation %" PRIu64, named->name, number);
    return status;
}
