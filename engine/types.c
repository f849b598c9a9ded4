/* The types of the log's events: what the census counted, and, where that is asked for, what the
 * events themselves tell (dictionary.c). See refold/log.h. */
#include "types.h"

#include <stdlib.h>

#define TEXTS_BYTES_MAX ((size_t)1 << 30)

void rf_types_free(rf_types *types)
{
    if (!types)
        return;
    rf_arena_free(&types->arena);
    rf_census_free(types->census);
    free(types->sources);
    free(types->source_infos);
    free(types->types);
    free(types->fields);
    free(types);
}

static rf_status types_text(rf_types *types, rf_slice text, const char **out, rf_err *err)
{
    rf_slice copy = rf_arena_copy(&types->arena, text);

    if (!copy.data)
        return rf_fail(err, RF_ERR_MEMORY, "no memory for the report of types");
    *out = copy.data;
    return RF_OK;
}

static rf_status types_field(rf_types *types, const rf_census_field *from, rf_type_field *to,
                             rf_err *err)
{
    *to = (rf_type_field){
        .nulls = from->counts[RF_CENSUS_NULL],
        .bools = from->counts[RF_CENSUS_BOOL],
        .ints = from->counts[RF_CENSUS_INT],
        .numbers = from->counts[RF_CENSUS_NUMBER],
        .texts = from->counts[RF_CENSUS_TEXT],
        .arrays = from->counts[RF_CENSUS_ARRAY],
        .objects = from->counts[RF_CENSUS_OBJECT],
    };
    return types_text(types, from->path, &to->path, err);
}

static rf_status types_fill(rf_types *types, rf_err *err)
{
    rf_status status = rf_census_list(types->census, &types->list, &types->type_count, err);
    if (status)
        return status;
    for (uint32_t i = 0; i < types->type_count; i++)
        types->field_count += types->list[i].field_count;
    types->types = calloc(types->type_count + 1, sizeof *types->types);
    types->fields = calloc((size_t)types->field_count + 1, sizeof *types->fields);
    if (!types->types || !types->fields)
        return rf_fail(err, RF_ERR_MEMORY, "no memory for the report of types");
    rf_type_field *field = types->fields;
    for (uint32_t i = 0; i < types->type_count && !status; i++) {
        const rf_census_type *from = &types->list[i];
        rf_type_info *to = &types->types[i];
        *to = (rf_type_info){
            .schema = from->schema,
            .events = from->events,
            .first_position = from->first_position,
            .last_position = from->last_position,
            .time_min = from->time_min,
            .time_max = from->time_max,
            .capped = from->capped,
            .fields = field,
            .field_count = from->field_count,
        };
        status = types_text(types, from->type, &to->type, err);
        for (uint32_t k = 0; k < from->field_count && !status; k++)
            status = types_field(types, &from->fields[k], field++, err);
    }
    return status;
}

static rf_status types_sources(rf_types *types, rf_store *store, rf_err *err)
{
    rf_status status =
        rf_log_sources(store->log, &types->sources, &types->source_count, err);
    if (status)
        return status;
    types->source_infos = calloc(types->source_count + 1, sizeof *types->source_infos);
    if (!types->source_infos)
        return rf_fail(err, RF_ERR_MEMORY, "no memory for the report of types");
    for (uint32_t i = 0; i < types->source_count; i++)
        types->source_infos[i] = (rf_source_info){types->sources[i].name, types->sources[i].mark,
                                                  types->sources[i].events,
                                                  types->sources[i].cursor};
    return RF_OK;
}

static rf_status types_make(rf_store *store, const rf_run *run, rf_types **types_out, rf_err *err)
{
    rf_types *types = calloc(1, sizeof *types);
    rf_log_info info = {0};

    if (!types)
        return rf_fail(err, RF_ERR_MEMORY, "no memory for the report of types");
    rf_arena_init(&types->arena, TEXTS_BYTES_MAX);
    types->census = rf_census_new();
    rf_status status = types->census
                           ? types_sources(types, store, err)
                           : rf_fail(err, RF_ERR_MEMORY, "no memory for the report of types");
    /* the end comes first: what is looked at is counted */
    if (!status)
        status = rf_log_get_info(store->log, &info, err);
    if (!status)
        status = rf_log_census(store->log, types->census, err);
    if (!status)
        status = types_fill(types, err);
    if (!status && run)
        status = rf_types_look(store, run, info.position, types, err);
    if (status) {
        rf_types_free(types);
        return status;
    }
    *types_out = types;
    return RF_OK;
}

rf_status rf_store_types(rf_store *store, rf_types **types_out, rf_err *err)
{
    return types_make(store, NULL, types_out, err);
}

rf_status rf_store_dictionary(rf_store *store, const rf_run *run, rf_types **types_out, rf_err *err)
{
    const rf_run by_default = {.workers_default = true};

    return types_make(store, run ? run : &by_default, types_out, err);
}

const rf_type_info *rf_types_list(const rf_types *types, uint32_t *count_out)
{
    *count_out = types->type_count;
    return types->types;
}

const rf_source_info *rf_types_sources(const rf_types *types, uint32_t *count_out)
{
    *count_out = types->source_count;
    return types->source_infos;
}
