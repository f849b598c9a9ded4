#include "sink/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static bool is_taken(const rf_layout *layout, uint32_t part_count, const char *name)
{
    const rf_reader_info *info = layout->info;

    for (uint32_t i = 0; i < info->column_count; i++)
        if (strcasecmp(info->columns[i].name, name) == 0)
            return true;
    for (uint32_t i = 0; i < part_count; i++)
        if (strcasecmp(layout->columns[i].name, name) == 0)
            return true;
    return false;
}

/* A part's name as a column's, behind `prefix`; false where it does not fit or is taken. */
static bool name_part(const rf_layout *layout, uint32_t part, const char *prefix,
                      char name_out[RF_LAYOUT_NAME_SIZE])
{
    const char *name = layout->info->key_parts[part].name;
    size_t at = strlen(prefix);

    if (*name == '\0' || at + strlen(name) >= RF_LAYOUT_NAME_SIZE)
        return false;
    memcpy(name_out, prefix, at);
    for (; *name; name++) {
        char c = *name;
        if (c == '"') /* of a name with a literal dot or blank */
            continue;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c & 0x80) != 0;
        name_out[at++] = plain ? c : '_';
    }
    name_out[at] = '\0';
    return !is_taken(layout, part, name_out);
}

static bool name_key(const rf_layout *layout, uint32_t part, char name_out[RF_LAYOUT_NAME_SIZE])
{
    if (name_part(layout, part, "", name_out) || name_part(layout, part, "key_", name_out))
        return true;
    for (unsigned number = part + 1; number < 10000; number += RF_KEY_PARTS_MAX) {
        (void)snprintf(name_out, RF_LAYOUT_NAME_SIZE, "key_%u", number);
        if (!is_taken(layout, part, name_out))
            return true;
    }
    return false;
}

rf_status rf_layout_make(const rf_reader_info *info, rf_layout *layout_out, rf_err *err)
{
    rf_layout layout = {.name = info->name, .info = info, .key_count = info->key_part_count,
                        .column_count = info->key_part_count + info->column_count};

    layout.columns = calloc(layout.column_count, sizeof *layout.columns);
    if (!layout.columns)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for its columns", info->name);
    for (uint32_t i = 0; i < layout.key_count; i++) {
        rf_layout_column *column = &layout.columns[i];
        column->kind = info->key_parts[i].kind;
        column->scale = info->key_parts[i].scale;
        if (layout.key_count == 1)
            memcpy(column->name, "key", sizeof "key");
        else if (!name_key(&layout, i, column->name))
            return rf_layout_free(&layout),
                   rf_fail(err, RF_ERR_INPUT, "%s: part %u of its key finds no name that is free",
                           info->name, i + 1);
    }
    for (uint32_t i = 0; i < info->column_count; i++) {
        rf_layout_column *column = &layout.columns[layout.key_count + i];
        (void)snprintf(column->name, sizeof column->name, "%s", info->columns[i].name);
        column->kind = info->columns[i].kind;
        column->scale = info->columns[i].scale;
    }
    *layout_out = layout;
    return RF_OK;
}

void rf_layout_free(rf_layout *layout)
{
    free(layout->columns);
    layout->columns = NULL;
}

rf_status rf_layout_values(const rf_layout *layout, const rf_reader *reader, const rf_row *row,
                           rf_value *values_out, rf_err *err)
{
    rf_status status = rf_reader_key_values(reader, row->key, values_out, err);

    if (status == RF_OK)
        memcpy(values_out + layout->key_count, row->values,
               layout->info->column_count * sizeof *values_out);
    return status;
}

