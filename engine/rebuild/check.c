/* See check.h.
 *
 * The census has an entry a type and schema; a handler is looked at against all entries of its type
 * together, one of "*" against all there are. Types are called by their names of today. Fields are
 * traced through the upcasters of the entry: what these may assign counts as had. Kinds count too: a field whose values were never of a
 * kind that it can read would stop the rebuild at its first event.
 */
#include "rebuild/check_job.h"

#include <stdarg.h>
#include <stdio.h>

/* Row `i` of the table of distances needs the two before it. */
uint32_t rf_name_distance(rf_slice a, rf_slice b)
{
    enum { SIZE_MAX_COMPARED = 255 };
    uint32_t rows[3][SIZE_MAX_COMPARED + 1];

    if (a.size > SIZE_MAX_COMPARED)
        a.size = SIZE_MAX_COMPARED;
    if (b.size > SIZE_MAX_COMPARED)
        b.size = SIZE_MAX_COMPARED;
    for (uint32_t k = 0; k <= b.size; k++)
        rows[0][k] = k;
    for (uint32_t i = 1; i <= a.size; i++) {
        uint32_t *row = rows[i % 3];
        const uint32_t *above = rows[(i + 2) % 3];
        const uint32_t *second = rows[(i + 1) % 3];
        row[0] = i;
        for (uint32_t k = 1; k <= b.size; k++) {
            uint32_t best = above[k - 1] + (a.data[i - 1] != b.data[k - 1]);
            best = above[k] + 1 < best ? above[k] + 1 : best;
            best = row[k - 1] + 1 < best ? row[k - 1] + 1 : best;
            if (i > 1 && k > 1 && a.data[i - 1] == b.data[k - 2] &&
                a.data[i - 2] == b.data[k - 1] && second[k - 2] + 1 < best)
                best = second[k - 2] + 1;
            row[k] = best;
        }
    }
    return rows[a.size % 3][b.size];
}

static void nearest_consider(rf_check_nearest *nearest, rf_slice name)
{
    uint32_t distance = rf_name_distance(nearest->wanted, name);

    if (!nearest->name.data || distance < nearest->distance) {
        nearest->name = name;
        nearest->distance = distance;
    }
}

/* At most one letter in three differs. */
static bool looks_misspelt(const rf_check_nearest *nearest)
{
    return nearest->name.data && nearest->distance * 3 <= nearest->wanted.size;
}

static rf_status no_memory(rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "out of memory for the checks");
}

/* Room for one more element: arrays in an arena grow by copying. */
void *rf_check_grow(rf_arena *arena, void *items, uint32_t count, uint32_t *capacity,
                       size_t size)
{
    if (count < *capacity)
        return items;
    uint32_t wanted = *capacity ? *capacity * 2 : 16;
    void *grown = rf_arena_alloc(arena, wanted * size);
    if (grown && count > 0)
        memcpy(grown, items, count * size);
    if (grown)
        *capacity = wanted;
    return grown;
}

/* "NAME: FACT" and, where there is a nearest name, "; the nearest is NAME". */
rf_status rf_check_add(rf_checking *checking, bool refuses, const rf_check_nearest *nearest, rf_err *err,
            const char *format, ...)
{
    rf_check_list *list = checking->list;
    char fact[RF_ERR_MESSAGE_SIZE];
    rf_err line;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(fact, sizeof fact, format, args);
    va_end(args);
    /* rf_fail escapes what is not printable: names may hold anything */
    if (nearest && nearest->name.data)
        (void)rf_fail(&line, RF_ERR_REFUSED, "%s: %s; the nearest is %.*s",
                      checking->definition->name, fact, (int)nearest->name.size,
                      nearest->name.data);
    else
        (void)rf_fail(&line, RF_ERR_REFUSED, "%s: %s", checking->definition->name, fact);
    for (uint32_t i = 0; i < list->finding_count; i++) /* of several handlers: said once */
        if (list->findings[i].refuses == refuses &&
            strcmp(list->findings[i].text, line.message) == 0)
            return RF_OK;
    rf_slice text = rf_arena_copy(checking->arena, rf_slice_of(line.message));
    rf_finding *findings = rf_check_grow(checking->arena, list->findings, list->finding_count,
                                     &checking->finding_capacity, sizeof *findings);
    if (!findings || !text.data)
        return no_memory(err);
    findings[list->finding_count++] = (rf_finding){.refuses = refuses, .text = text.data};
    list->findings = findings;
    list->refused = list->refused || refuses;
    return RF_OK;
}

static bool handles(const rf_definition_handler *handler, rf_slice type)
{
    return handler->every_type || rf_slice_equal(handler->type, type);
}

bool rf_check_handles(const rf_definition *definition, rf_slice type)
{
    for (uint32_t i = 0; i < definition->handler_count; i++)
        if (handles(&definition->handlers[i], type))
            return true;
    return false;
}

static uint64_t events_of(const rf_checking *checking, const rf_definition_handler *handler)
{
    uint64_t events = 0;

    for (uint32_t i = 0; i < checking->type_count; i++)
        if (handles(handler, checking->names[i]))
            events += checking->types[i].events;
    return events;
}

/* Whether a handler before this one has the same type: said once. */
static bool is_repeated(const rf_definition *definition, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++)
        if (rf_slice_equal(definition->handlers[i].type, definition->handlers[index].type))
            return true;
    return false;
}

/* Types that have not occurred: notes, or one refusal each where none has. */
static rf_status check_types(rf_checking *checking, rf_err *err)
{
    const rf_definition *definition = checking->definition;
    rf_status status = RF_OK;
    uint64_t handled = 0;

    for (uint32_t i = 0; i < checking->type_count; i++)
        if (rf_check_handles(definition, checking->names[i]))
            handled += checking->types[i].events;
    checking->list->events_handled += handled;
    if (checking->type_count == 0)
        return rf_check_add(checking, true, NULL, err, "the log has no events");
    for (uint32_t i = 0; status == RF_OK && i < definition->handler_count; i++) {
        const rf_definition_handler *handler = &definition->handlers[i];
        rf_check_nearest nearest = {.wanted = handler->type};
        if (events_of(checking, handler) > 0 || is_repeated(definition, i))
            continue;
        for (uint32_t k = 0; k < checking->type_count; k++)
            if (!rf_check_handles(definition, checking->names[k]))
                nearest_consider(&nearest, checking->names[k]);
        status = rf_check_add(checking, handled == 0, &nearest, err, "no event of type %.*s %s",
                             (int)handler->type.size, handler->type.data,
                             handled == 0 ? "ever occurred, nor of any other type that it handles"
                                          : "has occurred yet");
    }
    return status;
}

static uint64_t fitting_of(rf_kind kind, const uint64_t counts[RF_CENSUS_KIND_COUNT])
{
    uint64_t numbers = counts[RF_CENSUS_INT] + counts[RF_CENSUS_NUMBER];

    switch (kind) {
    case RF_INT:
    case RF_FLOAT:
        return numbers;
    case RF_DECIMAL:
        return numbers + counts[RF_CENSUS_TEXT];
    case RF_BOOL:
        return counts[RF_CENSUS_BOOL];
    case RF_TEXT:
    case RF_TIME:
    case RF_DATE:
        return counts[RF_CENSUS_TEXT];
    case RF_JSON:
        return numbers + counts[RF_CENSUS_TEXT] + counts[RF_CENSUS_BOOL] + counts[RF_CENSUS_ARRAY] +
               counts[RF_CENSUS_OBJECT];
    }
    return 0;
}

/* What one entry of the census has at a stored path. */
static void tally_path(rf_check_tally *tally, const rf_census_type *type, rf_slice path,
                       rf_check_nearest *nearest)
{
    tally->capped = tally->capped || type->capped;
    for (uint32_t k = 0; k < type->field_count; k++) {
        const rf_census_field *had = &type->fields[k];
        if (!rf_slice_equal(had->path, path)) {
            nearest_consider(nearest, had->path);
            continue;
        }
        for (int kind = 0; kind < RF_CENSUS_KIND_COUNT; kind++)
            tally->counts[kind] += had->counts[kind];
    }
}

/* The same after the upcasters that such events go through. */
static rf_status tally_traced(rf_checking *checking, uint32_t index,
                              const rf_definition_field *field, rf_check_tally *tally,
                              rf_check_nearest *nearest, rf_err *err)
{
    const rf_census_type *type = &checking->types[index];
    rf_evolution_chain chain = rf_evolution_chain_of(checking->definition->evolution,
                                                     checking->names[index], type->schema);
    rf_trace trace;

    if (chain.count == 0) {
        tally_path(tally, type, field->path_text, nearest);
        return RF_OK;
    }
    rf_status status =
        rf_trace_field(&chain, chain.count, field, checking->arena, &trace, err);
    if (status != RF_OK)
        return status;
    if (!trace.stored && trace.layer_count == 0 && trace.fallback.value.kind > RF_ASSIGNED_NIL)
        status = rf_check_constant(checking, field, &trace.fallback, err);
    if (trace.layer_count > 0 || trace.fallback.value.kind > RF_ASSIGNED_NIL)
        tally->assigned += type->events;
    else if (trace.stored)
        tally_path(tally, type, trace.path_text, nearest);
    return status;
}

/* `schema` 0: the fields of a handler; else of the upcaster of that schema. */
static rf_status tally_field(rf_checking *checking, const rf_definition_handler *handler,
                             int64_t schema, const rf_definition_field *field,
                             rf_check_tally *tally_out, rf_check_nearest *nearest, rf_err *err)
{
    rf_check_tally tally = {0};
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < checking->type_count; i++) {
        const rf_census_type *type = &checking->types[i];
        if (!handles(handler, checking->names[i]) || (schema != 0 && type->schema != schema))
            continue;
        tally.events += type->events;
        if (schema == 0)
            status = tally_traced(checking, i, field, &tally, nearest, err);
        else
            tally_path(&tally, type, field->path_text, nearest);
    }
    for (int kind = 0; kind < RF_CENSUS_KIND_COUNT; kind++)
        tally.present += kind == RF_CENSUS_NULL ? 0 : tally.counts[kind];
    tally.present += tally.assigned;
    tally.fitting = fitting_of(field->field.kind, tally.counts) + tally.assigned;
    *tally_out = tally;
    return status;
}

/* "text 12, array 3" */
static void name_kinds(const rf_check_tally *tally, rf_buf *out)
{
    static const char *const names[RF_CENSUS_KIND_COUNT] = {
        [RF_CENSUS_NULL] = "null",     [RF_CENSUS_BOOL] = "bool", [RF_CENSUS_INT] = "int",
        [RF_CENSUS_NUMBER] = "number", [RF_CENSUS_TEXT] = "text", [RF_CENSUS_ARRAY] = "array",
        [RF_CENSUS_OBJECT] = "object"};

    for (int kind = RF_CENSUS_BOOL; kind < RF_CENSUS_KIND_COUNT; kind++)
        if (tally->counts[kind] > 0)
            rf_buf_append_format(out, "%s%s", out->size ? ", " : "", names[kind]);
}

static rf_status refuse_kind(rf_checking *checking, const rf_definition_handler *handler,
                             const rf_definition_field *field, const rf_check_tally *tally,
                             rf_err *err)
{
    rf_buf kinds;

    rf_buf_init(&kinds, 256);
    name_kinds(tally, &kinds);
    rf_slice had = rf_buf_slice(&kinds);
    rf_status status = rf_check_add(
        checking, true, NULL, err, "field %.*s of type %.*s is declared as %s and was always %.*s",
        (int)field->path_text.size, field->path_text.data, (int)handler->type.size,
        handler->type.data, rf_kind_name(field->field.kind), (int)had.size, had.data);
    rf_buf_free(&kinds);
    return status;
}

/* Events that will have no key: the rebuild would stop at the first of them, or leave them out. */
static rf_status note_keyless(rf_checking *checking, const rf_definition_handler *handler,
                              const rf_definition_field *field, const rf_check_tally *tally,
                              rf_err *err)
{
    bool ignored = checking->definition->no_key_ignore;

    return rf_check_add(checking, !ignored, NULL, err,
                       "%llu of %llu events of type %.*s lack the field %.*s of their key%s",
                       (unsigned long long)(tally->events - tally->present),
                       (unsigned long long)tally->events, (int)handler->type.size,
                       handler->type.data, (int)field->path_text.size, field->path_text.data,
                       ignored ? "; they are left out" : "");
}

/* Values of a kind that the field cannot read, beside others. */
static rf_status note_misfits(rf_checking *checking, const rf_definition_handler *handler,
                              const rf_definition_field *field, const rf_check_tally *tally,
                              rf_err *err)
{
    return rf_check_add(checking, false, NULL, err,
                        "%llu of %llu values of the field %.*s of type %.*s are not of the "
                        "declared kind %s: a rebuild stops at the first of them",
                        (unsigned long long)(tally->present - tally->fitting),
                        (unsigned long long)tally->present, (int)field->path_text.size,
                        field->path_text.data, (int)handler->type.size, handler->type.data,
                        rf_kind_name(field->field.kind));
}

static rf_status judge_field(rf_checking *checking, const rf_definition_handler *handler,
                             const rf_definition_field *field, bool is_key,
                             const rf_check_tally *tally, const rf_check_nearest *nearest, rf_err *err)
{
    rf_slice path = field->path_text;
    rf_slice type = handler->type;
    bool optional = field->field.optional;

    if (tally->present > 0 && tally->fitting == 0)
        return refuse_kind(checking, handler, field, tally, err);
    if (tally->fitting < tally->present) {
        rf_status status = note_misfits(checking, handler, field, tally, err);
        if (status != RF_OK)
            return status;
    }
    if (is_key && tally->present > 0 && tally->present < tally->events)
        return note_keyless(checking, handler, field, tally, err);
    optional = optional && !is_key;
    if (tally->present == 0 && tally->capped)
        return RF_OK; /* note_uncounted says it once for all of them */
    if (tally->present == 0 && optional && !looks_misspelt(nearest))
        return RF_OK; /* handlers share lists of fields: not every type has all of them */
    if (tally->present == 0)
        return rf_check_add(checking, !optional, nearest, err,
                           "no event of type %.*s ever had the field %.*s%s", (int)type.size,
                           type.data, (int)path.size, path.data, optional ? " (optional)" : "");
    if (tally->present < tally->events && !optional)
        return rf_check_add(checking, false, NULL, err,
                           "%llu of %llu events of type %.*s lack the field %.*s; it is %s there",
                           (unsigned long long)(tally->events - tally->present),
                           (unsigned long long)tally->events, (int)type.size, type.data,
                           (int)path.size, path.data,
                           field->field.kind == RF_INT || field->field.kind == RF_DECIMAL ||
                                   field->field.kind == RF_FLOAT
                               ? "zero"
                           : field->field.kind == RF_BOOL ? "false"
                                                          : "unset");
    return RF_OK;
}

static rf_status list_field(rf_checking *checking, const rf_definition_handler *handler,
                            const rf_definition_field *field, const rf_check_tally *tally,
                            rf_err *err)
{
    rf_check_list *list = checking->list;
    rf_slice type = rf_arena_copy(checking->arena, handler->type);
    rf_slice path = rf_arena_copy(checking->arena, field->path_text);
    rf_check_field *fields = rf_check_grow(checking->arena, list->fields, list->field_count,
                                       &checking->field_capacity, sizeof *fields);

    if (!fields || !type.data || !path.data)
        return no_memory(err);
    fields[list->field_count++] = (rf_check_field){
        .type = type.data,
        .path = path.data,
        .kind = field->field.kind,
        .optional = field->field.optional,
        .events = tally->events,
        .present = tally->present,
        .nulls = tally->counts[RF_CENSUS_NULL],
        .bools = tally->counts[RF_CENSUS_BOOL],
        .ints = tally->counts[RF_CENSUS_INT],
        .numbers = tally->counts[RF_CENSUS_NUMBER],
        .texts = tally->counts[RF_CENSUS_TEXT],
        .arrays = tally->counts[RF_CENSUS_ARRAY],
        .objects = tally->counts[RF_CENSUS_OBJECT],
        .uncounted = tally->present == 0 && tally->capped,
    };
    list->fields = fields;
    return RF_OK;
}

/* Wide types have many of them: one line for all. */
static rf_status note_uncounted(rf_checking *checking, const rf_definition_handler *handler,
                                rf_slice first, uint32_t count, rf_err *err)
{
    char others[40] = "";

    if (count > 1)
        (void)snprintf(others, sizeof others, " and %u more", count - 1);
    return rf_check_add(checking, false, NULL, err,
                       "field %.*s%s of type %.*s: the type has more fields than are counted, so "
                       "it is not known how many events have %s",
                       (int)first.size, first.data, others, (int)handler->type.size,
                       handler->type.data, count > 1 ? "them" : "it");
}

rf_status rf_check_fields(rf_checking *checking, const rf_check_fields_of *of, rf_err *err)
{
    const rf_definition_handler as_shown = {.type = of->shown};

    rf_status status = RF_OK;
    rf_slice uncounted_first = {0};
    uint32_t uncounted = 0;

    for (uint32_t i = 0; status == RF_OK && i < of->count; i++) {
        const rf_definition_field *field = &of->fields[i];
        rf_check_nearest nearest = {.wanted = field->path_text};
        if (field->field.source != RF_PAYLOAD)
            continue;
        rf_check_tally tally;
        status = tally_field(checking, of->handler, of->schema, field, &tally, &nearest, err);
        if (status == RF_OK)
            status = list_field(checking, &as_shown, field, &tally, err);
        if (status == RF_OK && tally.events > 0)
            status = judge_field(checking, &as_shown, field, of->is_key, &tally, &nearest, err);
        if (tally.events > 0 && tally.present == 0 && tally.capped && uncounted++ == 0)
            uncounted_first = field->path_text;
    }
    if (status == RF_OK && uncounted > 0)
        status = note_uncounted(checking, &as_shown, uncounted_first, uncounted, err);
    return status;
}

/* Today's names of the census's types. */
static rf_status name_types(rf_checking *checking, rf_err *err)
{
    rf_slice *names = rf_arena_alloc(checking->arena, checking->type_count * sizeof *names);

    if (!names)
        return no_memory(err);
    for (uint32_t i = 0; i < checking->type_count; i++)
        names[i] = rf_evolution_type(checking->definition->evolution, checking->types[i].type);
    checking->names = names;
    return RF_OK;
}

static rf_status check_handler(rf_checking *checking, const rf_definition_handler *handler,
                               rf_err *err)
{
    const rf_definition_key *key = handler->key;
    rf_check_fields_of of = {
        .handler = handler,
        .shown = handler->type,
        .fields = handler->fields,
        .count = handler->field_count,
    };

    rf_status status = rf_check_fields(checking, &of, err);
    if (status != RF_OK || !key || handler->every_row)
        return status;
    of.is_key = !key->compute;
    of.fields = of.is_key ? key->parts : key->fields;
    of.count = of.is_key ? key->part_count : key->field_count;
    return rf_check_fields(checking, &of, err);
}

/* A carry is looked at like a handler of its type with one field. */
static rf_status check_carry(rf_checking *checking, const rf_definition_carry *carry, rf_err *err)
{
    const rf_definition_handler handler = {
        .type = carry->type,
        .every_type = rf_slice_equal(carry->type, RF_SLICE("*")),
    };
    const rf_check_fields_of of = {
        .handler = &handler, .shown = carry->type, .fields = &carry->field, .count = 1};
    rf_check_nearest nearest = {.wanted = carry->type};

    if (checking->type_count > 0 && events_of(checking, &handler) == 0) {
        for (uint32_t i = 0; i < checking->type_count; i++)
            nearest_consider(&nearest, checking->names[i]);
        return rf_check_add(checking, false, &nearest, err,
                            "no event of type %.*s, which %.*s is carried from, has occurred yet",
                            (int)carry->type.size, carry->type.data, (int)carry->name.size,
                            carry->name.data);
    }
    return rf_check_fields(checking, &of, err);
}

rf_status rf_check_definition(const rf_definition *definition, rf_census *census, rf_arena *arena,
                              rf_check_list *list, rf_err *err)
{
    rf_checking checking = {
        .definition = definition,
        .arena = arena,
        .list = list,
        .field_capacity = list->field_count, /* what is there already is full: it moves */
        .finding_capacity = list->finding_count,
        .schema_capacity = list->schema_count,
    };

    RF_ASSERT(definition && census && arena && list);
    rf_status status = rf_census_list(census, &checking.types, &checking.type_count, err);
    if (status == RF_OK)
        status = name_types(&checking, err);
    if (status == RF_OK)
        status = check_types(&checking, err);
    if (status == RF_OK)
        status = rf_check_schemas(&checking, err);
    for (uint32_t i = 0; status == RF_OK && i < definition->handler_count; i++)
        status = check_handler(&checking, &definition->handlers[i], err);
    for (uint32_t i = 0; status == RF_OK && i < definition->carry_count; i++)
        status = check_carry(&checking, &definition->carries[i], err);
    return status == RF_OK ? rf_check_upcasts(&checking, err) : status;
}

static bool all_put_aside(const rf_check_unknown_options *options, rf_slice type, uint64_t events)
{
    uint64_t skipped = 0;

    for (uint32_t i = 0; i < options->skip_count; i++)
        skipped += rf_slice_equal(options->skips[i].type, type);
    return skipped >= events;
}

rf_status rf_check_unknown(const rf_definition *definition, rf_census *census,
                           const rf_check_unknown_options *options, rf_arena *arena,
                           rf_check_list *list, rf_err *err)
{
    rf_checking checking = {
        .definition = definition,
        .arena = arena,
        .list = list,
        .finding_capacity = list->finding_count,
    };

    rf_status status = rf_census_list(census, &checking.types, &checking.type_count, err);
    if (status == RF_OK)
        status = name_types(&checking, err);
    if (!(definition->flags & RF_PROJECTION_ALL_TYPES))
        return status;
    for (uint32_t i = 0, end; status == RF_OK && i < checking.type_count; i = end) {
        rf_slice type = checking.types[i].type;
        uint64_t first = UINT64_MAX;
        uint64_t events = 0;
        for (end = i; end < checking.type_count; end++) {
            if (!rf_slice_equal(checking.types[end].type, type))
                break;
            if (checking.types[end].first_position < first)
                first = checking.types[end].first_position;
            events += checking.types[end].events;
        }
        if (first <= options->until && !rf_check_handles(definition, checking.names[i]) &&
            !all_put_aside(options, type, events))
            status = rf_check_add(&checking, options->refuses, NULL, err,
                                 "type %.*s has no handler, first at position %llu, and the "
                                 "projection says that it handles all types",
                                 (int)type.size, type.data, (unsigned long long)first);
    }
    return status;
}
