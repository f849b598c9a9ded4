/* Schemas and upcasters against the census; see check.h.
 *
 * Which schema a handler's fields are those of has to be known: a type has one schema, or upcasters
 * lead from each that occurred to the current one, or several are accepted as they are. Handlers
 * without payload fields take any.
 */
#include "rebuild/check_job.h"

#include "rebuild/assigned.h"

#include <stdio.h>

static bool is_read(const rf_definition *definition, rf_slice type)
{
    for (uint32_t i = 0; i < definition->handler_count; i++) {
        const rf_definition_handler *handler = &definition->handlers[i];
        if ((handler->every_type || rf_slice_equal(handler->type, type)) &&
            rf_definition_reads_payload(handler))
            return true;
    }
    return false;
}

/* Whether an entry of the same type and, unless it is 0, schema stands before this one. */
static bool is_repeated(const rf_checking *checking, uint32_t index, int64_t schema)
{
    for (uint32_t i = 0; i < index; i++)
        if (rf_slice_equal(checking->names[i], checking->names[index]) &&
            (schema == 0 || checking->types[i].schema == schema))
            return true;
    return false;
}

static uint64_t events_of(const rf_checking *checking, rf_slice type, int64_t schema)
{
    uint64_t events = 0;

    for (uint32_t i = 0; i < checking->type_count; i++)
        if (rf_slice_equal(checking->names[i], type) && checking->types[i].schema == schema)
            events += checking->types[i].events;
    return events;
}

static rf_status keep_schema(rf_checking *checking, rf_slice type, int64_t schema, rf_err *err)
{
    rf_check_list *list = checking->list;
    rf_slice copy = rf_arena_copy(checking->arena, type);
    rf_check_schema *schemas = rf_check_grow(checking->arena, list->schemas, list->schema_count,
                                             &checking->schema_capacity, sizeof *schemas);

    if (!schemas || !copy.data)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the checks");
    schemas[list->schema_count++] = (rf_check_schema){checking->definition, copy, schema};
    list->schemas = schemas;
    return RF_OK;
}

/* A type without upcasters has one schema, or there is a question. */
static rf_status check_only_schema(rf_checking *checking, uint32_t index, rf_err *err)
{
    rf_slice type = checking->names[index];
    int64_t lowest = INT64_MAX;
    int64_t highest = 0;

    for (uint32_t i = index; i < checking->type_count; i++) {
        int64_t schema = checking->types[i].schema;
        if (!rf_slice_equal(checking->names[i], type))
            continue;
        lowest = schema < lowest ? schema : lowest;
        highest = schema > highest ? schema : highest;
    }
    if (lowest == highest)
        return keep_schema(checking, type, highest, err);
    return rf_check_add(checking, true, NULL, err,
                        "%llu events of type %.*s have schema %lld and %llu have %lld, and there is "
                        "no upcaster from %lld; `schemas` takes several as they are",
                        (unsigned long long)events_of(checking, type, lowest), (int)type.size,
                        type.data, (long long)lowest,
                        (unsigned long long)events_of(checking, type, highest), (long long)highest,
                        (long long)lowest);
}

static rf_status check_chain(rf_checking *checking, uint32_t index, int64_t current, rf_err *err)
{
    const rf_evolution *evolution = checking->definition->evolution;
    rf_slice type = checking->names[index];
    int64_t schema = checking->types[index].schema;
    rf_evolution_chain chain = rf_evolution_chain_of(evolution, type, schema);
    unsigned long long events = (unsigned long long)events_of(checking, type, schema);

    if (!chain.broken || is_repeated(checking, index, schema))
        return RF_OK;
    if (chain.schema > current)
        return rf_check_add(checking, true, NULL, err,
                            "%llu events of type %.*s have schema %lld, above the current one, %lld",
                            events, (int)type.size, type.data, (long long)schema,
                            (long long)current);
    return rf_check_add(checking, true, NULL, err,
                        "%llu events of type %.*s have schema %lld, and there is no upcaster from "
                        "%lld",
                        events, (int)type.size, type.data, (long long)schema,
                        (long long)chain.schema);
}

rf_status rf_check_schemas(rf_checking *checking, rf_err *err)
{
    const rf_definition *definition = checking->definition;
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < checking->type_count; i++) {
        rf_slice type = checking->names[i];
        int64_t current = rf_evolution_current(definition->evolution, type);
        bool first = !is_repeated(checking, i, 0);
        if (!is_read(definition, type))
            continue;
        if (current == 0 && first)
            status = check_only_schema(checking, i, err);
        else if (current != 0 && first)
            status = keep_schema(checking, type, current, err);
        if (status == RF_OK && current != 0)
            status = check_chain(checking, i, current, err);
    }
    return status;
}

/* What copies read may be of any kind. */
static rf_status check_copies(rf_checking *checking, const rf_evolution_upcast *upcast,
                              rf_slice shown, rf_err *err)
{
    rf_definition_handler copies = {.type = upcast->type};
    rf_definition_field *fields =
        rf_arena_alloc(checking->arena, upcast->assigned_count * sizeof *fields);

    if (!fields)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the checks");
    for (uint32_t i = 0; i < upcast->assigned_count; i++) {
        const rf_evolution_move *move = &upcast->moves[i];
        if (move->constant || move->typed)
            continue;
        fields[copies.field_count++] = (rf_definition_field){
            .field = {.source = RF_PAYLOAD,
                      .kind = RF_JSON,
                      .optional = move->optional},
            .path = move->from.path,
            .path_text = move->from.text,
        };
    }
    copies.fields = fields;
    const rf_check_fields_of of = {&copies, shown, upcast->schema, fields, copies.field_count, false};
    return rf_check_fields(checking, &of, err);
}

static rf_status check_upcast(rf_checking *checking, const rf_evolution_upcast *upcast, rf_err *err)
{
    char text[RF_TYPE_SIZE_MAX + 64];

    if (events_of(checking, upcast->type, upcast->schema) == 0)
        return rf_check_add(checking, false, NULL, err,
                            "upcast of %.*s %lld: no event of that schema has occurred",
                            (int)upcast->type.size, upcast->type.data, (long long)upcast->schema);
    int size = snprintf(text, sizeof text, "%.*s of schema %lld", (int)upcast->type.size,
                        upcast->type.data, (long long)upcast->schema);
    rf_slice shown = {text, (size_t)size};
    const rf_check_fields_of of = {&upcast->input, shown, upcast->schema, upcast->input.fields,
                                   upcast->input.field_count, false};
    rf_status status = rf_check_fields(checking, &of, err);
    if (status == RF_OK && !upcast->function)
        status = check_copies(checking, upcast, shown, err);
    return status;
}

rf_status rf_check_constant(rf_checking *checking, const rf_definition_field *field,
                            const rf_trace_default *constant, rf_err *err)
{
    char digits[RF_VALUE_TEXT_SIZE];
    rf_slice value = {0}; /* the largest of a field's C types */
    rf_convert_fault found = {.ordinal = 0};
    bool memory;
    rf_err line;

    found.fault =
        rf_assigned_convert(&field->field, &constant->value, checking->arena, &value, &memory);
    if (found.fault == RF_VALUE_OK)
        return RF_OK;
    if (memory)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the checks");
    found.compound = !rf_assigned_show(&constant->value, digits, &found.scalar);
    (void)rf_convert_refuse(field, &found, &line);
    return rf_check_add(checking, true, NULL, err, "upcast of %.*s %lld: %s",
                        (int)constant->of->type.size, constant->of->type.data,
                        (long long)constant->of->schema, line.message);
}

rf_status rf_check_upcasts(rf_checking *checking, rf_err *err)
{
    uint32_t count;
    const rf_evolution_upcast *upcasts =
        rf_evolution_upcasts(checking->definition->evolution, &count);
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < count; i++)
        if (rf_check_handles(checking->definition, upcasts[i].type))
            status = check_upcast(checking, &upcasts[i], err);
    return status;
}
