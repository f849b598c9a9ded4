/* See export_entries.h. */
#include "export_entries.h"

#include "catalog/named.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PUBLIC_NAME_MAX = 63 /* bytes that PostgreSQL keeps of one */ };

static rf_export_entry *add_entry(rf_export_entries *entries, const rf_named *named)
{
    char text[RF_NAMED_TEXT_SIZE];
    rf_export_entry *entry = &entries->items[entries->count++];

    rf_named_format(named, text);
    (void)snprintf(entry->name, sizeof entry->name, "%s", text);
    (void)snprintf(entry->public_name, sizeof entry->public_name, "%s", named->name);
    if (named->version != 0) {
        (void)snprintf(entry->public_name, sizeof entry->public_name, "%s_v%" PRIu32, named->name,
                       named->version);
        (void)snprintf(entry->version_of, sizeof entry->version_of, "%s", named->name);
    }
    return entry;
}

/* Whether the version's public name is free: a name, and of no read model. */
static rf_status is_free(rf_store *store, const rf_named *named, bool *free_out, rf_err *err)
{
    rf_catalog_model model;
    char name[RF_NAMED_TEXT_SIZE + 2];
    bool found = false;

    int size = snprintf(name, sizeof name, "%s_v%" PRIu32, named->name, named->version);
    *free_out = false;
    if (size > PUBLIC_NAME_MAX)
        return RF_OK;
    rf_status status = rf_catalog_get_model(store->catalog, name, &model, &found, err);
    *free_out = !found;
    return status;
}

/* The live version and the colours, behind the entry of the read model. */
static rf_status add_versions(rf_store *store, rf_export_entries *entries, const rf_named *named,
                              rf_err *err)
{
    uint32_t pointer = entries->count; /* 1 + the index of the last */
    rf_catalog_generation live;
    rf_catalog_model model = {.live = 0};
    bool found = false, free_name = false;

    rf_status status = rf_named_find(store->catalog, named, &live, err);
    if (status == RF_OK)
        status = rf_catalog_get_model(store->catalog, named->name, &model, &found, err);
    rf_named version = *named;
    version.version = live.version;
    if (status == RF_OK)
        status = is_free(store, &version, &free_name, err);
    if (status != RF_OK || !free_name)
        return status;
    rf_export_entry *grown =
        realloc(entries->items, (entries->count + model.colour_count + 1) * sizeof *grown);
    if (!grown)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for its versions", named->name);
    entries->items = grown;
    memset(grown + entries->count, 0, (model.colour_count + 1) * sizeof *grown);
    entries->items[pointer - 1].generation = live.number;
    entries->items[pointer - 1].shows = pointer + 1;
    entries->items[pointer - 1].has_colours = model.colour_count > 0;
    rf_export_entry *entry = add_entry(entries, &version);
    entry->generation = live.number;
    entry->beside = pointer;
    for (uint32_t i = 0; status == RF_OK && i < model.colour_count; i++) {
        version.version = model.colours[i].version;
        status = is_free(store, &version, &free_name, err);
        if (status != RF_OK || !free_name || version.version == live.version)
            continue;
        entry = add_entry(entries, &version);
        entry->generation = model.colours[i].number;
        entry->beside = pointer;
    }
    return status;
}

static bool has_versions_named(const rf_named *parsed, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (parsed[i].version != 0 && strcmp(parsed[i].name, name) == 0)
            return true;
    return false;
}

static rf_status check_public_names(const rf_export_entries *entries, rf_err *err)
{
    for (uint32_t i = 0; i < entries->count; i++) {
        const char *name = entries->items[i].public_name;
        if (strlen(name) > PUBLIC_NAME_MAX)
            return rf_fail(err, RF_ERR_INPUT, "%s: %s, its name there, is longer than %d bytes",
                           entries->items[i].name, name, PUBLIC_NAME_MAX);
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(name, entries->items[k].public_name) == 0)
                return rf_fail(err, RF_ERR_USAGE, "%s and %s would both be %s",
                               entries->items[k].name, entries->items[i].name, name);
    }
    return RF_OK;
}

rf_status rf_export_entries_make(rf_store *store, const char *const *names, uint32_t name_count,
                                 uint64_t generation, bool with_versions,
                                 rf_export_entries *entries_out, rf_err *err)
{
    rf_export_entries entries = {NULL, 0};
    rf_status status = RF_OK;

    rf_named *parsed = calloc(name_count, sizeof *parsed);
    if (!parsed)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", name_count);
    for (uint32_t i = 0; status == RF_OK && i < name_count; i++)
        status = rf_named_parse(names[i], &parsed[i], err);
    for (uint32_t i = 0; status == RF_OK && i < name_count; i++) {
        rf_export_entry *grown =
            realloc(entries.items, (entries.count + 1) * sizeof *grown);
        if (!grown) {
            status = rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", name_count);
            break;
        }
        entries.items = grown;
        memset(&grown[entries.count], 0, sizeof *grown);
        add_entry(&entries, &parsed[i])->generation = generation;
        if (with_versions && generation == 0 && parsed[i].version == 0 &&
            !has_versions_named(parsed, name_count, parsed[i].name))
            status = add_versions(store, &entries, &parsed[i], err);
    }
    free(parsed);
    if (status == RF_OK)
        status = check_public_names(&entries, err);
    if (status != RF_OK) {
        rf_export_entries_free(&entries);
        return status;
    }
    *entries_out = entries;
    return RF_OK;
}

void rf_export_entries_free(rf_export_entries *entries)
{
    free(entries->items);
    *entries = (rf_export_entries){NULL, 0};
}
