/* See mapping.h: from the texts of --map and --time-zone to rules. */
#include "source/mapping_rules.h"

#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>

const char *const rf_target_names[RF_TARGET_COUNT] = {
    "position", "stream", "version", "type", "schema", "time", "data", "metadata",
};

rf_slice rf_mapping_path(const rf_import_options *options, const char *member)
{
    size_t size = strlen(member);

    for (uint32_t i = 0; i < options->map_count; i++) {
        for (const char *at = options->maps[i]; at; at = strchr(at, ',')) {
            at += *at == ',';
            if (strncmp(at, member, size) == 0 && at[size] == '=')
                return (rf_slice){at + size + 1, strcspn(at + size + 1, ",")};
        }
    }
    return rf_slice_of(member);
}

/* Cuts `text` at dots outside quotes; the quotes are taken out in place. */
static bool parts_cut(char *text, rf_target_source *source)
{
    char *at = text;

    source->part_count = 0;
    for (;;) {
        char *begin = at;
        char *end;
        if (*at == '"') {
            begin++;
            end = strchr(begin, '"');
            if (!end)
                return false;
            at = end + 1;
        } else {
            at += strcspn(at, ".\"");
            end = at;
        }
        if (end == begin || end - begin > RF_MAPPING_NAME_SIZE_MAX ||
            source->part_count == RF_MAPPING_PARTS_MAX)
            return false;
        source->parts[source->part_count++] = (rf_slice){begin, (size_t)(end - begin)};
        if (*at == '\0')
            return true;
        if (*at++ != '.')
            return false;
    }
}

static rf_status target_of(rf_slice map, size_t name_size, rf_target *target_out, rf_err *err)
{
    for (rf_target at = 0; at < RF_TARGET_COUNT; at++) {
        if (rf_slice_equal((rf_slice){map.data, name_size}, rf_slice_of(rf_target_names[at]))) {
            *target_out = at;
            return RF_OK;
        }
    }
    return rf_fail(err, RF_ERR_USAGE,
                   "map %.*s: before the = stands one of position, stream, version, type, schema, "
                   "time, data, metadata",
                   (int)map.size, map.data);
}

/* One "position=id". */
static rf_status map_add(rf_mapping *mapping, rf_slice map, rf_err *err)
{
    const char *equals = memchr(map.data, '=', map.size);
    rf_target to = RF_TARGET_POSITION;

    if (!equals || map.size > 4096)
        return rf_fail(err, RF_ERR_USAGE, "map %.*s: a map has the form position=id",
                       (int)(map.size < 256 ? map.size : 256), map.data);
    rf_status status = target_of(map, (size_t)(equals - map.data), &to, err);
    if (status != RF_OK)
        return status;
    rf_target_source *source = &mapping->sources[to];
    if (source->text)
        return rf_fail(err, RF_ERR_USAGE, "map %.*s: %s is mapped twice", (int)map.size, map.data,
                       rf_target_names[to]);
    size_t path_size = map.size - (size_t)(equals + 1 - map.data);
    /* The path, to be cut up; then "TARGET (PATH)". */
    source->text = malloc(2 * path_size + 32);
    if (!source->text)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a map");
    memcpy(source->text, equals + 1, path_size);
    source->text[path_size] = '\0';
    char *label = source->text + path_size + 1;
    (void)snprintf(label, path_size + 31, "%s (%.*s)", rf_target_names[to], (int)path_size,
                   equals + 1);
    source->label = label;
    if (!parts_cut(source->text, source))
        return rf_fail(err, RF_ERR_USAGE, "map %.*s: behind the = stands a member's name or a path",
                       (int)map.size, map.data);
    if (source->part_count == 1)
        return RF_OK;
    bool in_data = rf_slice_equal(source->parts[0], RF_SLICE("data"));
    if (!in_data && !rf_slice_equal(source->parts[0], RF_SLICE("metadata")))
        return rf_fail(err, RF_ERR_USAGE,
                       "map %.*s: a path leads into data or metadata; quote a name with a dot",
                       (int)map.size, map.data);
    if (to == RF_TARGET_DATA || (to == RF_TARGET_METADATA && !in_data))
        return rf_fail(err, RF_ERR_USAGE, "map %.*s: %s cannot come from inside itself",
                       (int)map.size, map.data, rf_target_names[to]);
    return RF_OK;
}

/* Maps may come several in one text, with commas between. */
static rf_status maps_add(rf_mapping *mapping, const char *text, rf_err *err)
{
    const char *begin = text;
    bool quoted = false;

    for (const char *at = text;; at++) {
        if (*at == '"')
            quoted = !quoted;
        if (*at != '\0' && (*at != ',' || quoted))
            continue;
        rf_status status = map_add(mapping, (rf_slice){begin, (size_t)(at - begin)}, err);
        if (status != RF_OK || *at == '\0')
            return status;
        begin = at + 1;
    }
}

/* The list of top-level names to look for. */
static void names_collect(rf_mapping *mapping)
{
    for (rf_target to = 0; to < RF_TARGET_COUNT; to++) {
        rf_target_source *source = &mapping->sources[to];
        uint32_t at = 0;
        if (source->part_count == 0) {
            source->parts[0] = rf_slice_of(rf_target_names[to]);
            source->part_count = 1;
            source->label = rf_target_names[to];
        }
        if (source->part_count > 1)
            continue;
        while (at < mapping->name_count &&
               !rf_slice_equal(mapping->names[at].name, source->parts[0]))
            at++;
        if (at == mapping->name_count)
            mapping->names[mapping->name_count++] = (rf_member_name){source->parts[0], 0};
        mapping->names[at].targets |= 1u << to;
    }
}

rf_status rf_mapping_new(const rf_import_options *options, rf_mapping **mapping_out, rf_err *err)
{
    rf_status status = RF_OK;
    rf_mapping *mapping = calloc(1, sizeof *mapping);

    if (!mapping)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the maps");
    mapping->time_unit = options->time_unit;
    for (uint32_t i = 0; status == RF_OK && i < options->map_count; i++)
        status = maps_add(mapping, options->maps[i], err);
    if (status == RF_OK && options->time_zone)
        status = rf_zone_new(options->time_zone, &mapping->zone, err);
    if (status != RF_OK) {
        rf_mapping_free(mapping);
        return status;
    }
    names_collect(mapping);
    *mapping_out = mapping;
    return RF_OK;
}

void rf_mapping_free(rf_mapping *mapping)
{
    if (!mapping)
        return;
    for (rf_target to = 0; to < RF_TARGET_COUNT; to++)
        free(mapping->sources[to].text);
    rf_zone_free(mapping->zone);
    free(mapping);
}
