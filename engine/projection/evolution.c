/* See evolution.h.
 *
 * Renames are stored with the name at the end of each chain, sorted by old name; upcasters and
 * accepted schemas sorted by type, then schema. So what an event goes through is a run of
 * neighbours.
 */
#include "projection/evolution.h"

#include "projection/trace.h"

#include <stdlib.h>

enum { ARENA_BYTES_MAX = 64 << 20 };

struct rename {
    rf_slice from;
    rf_slice to; /* today's */
};

struct accepted {
    rf_slice type;
    int64_t schema;
};

struct rf_evolution {
    rf_arena arena;
    const char *name;
    struct rename *renames;
    rf_evolution_upcast *upcasts;
    struct accepted *accepted;
    uint32_t rename_count, upcast_count, accepted_count;
    const rf_upcast_ops *ops;
    void *ops_arg;
};

static rf_status no_memory(const rf_evolution *evolution, rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", evolution->name);
}

static rf_status take_type(rf_evolution *evolution, const char *type, const char *what,
                           rf_slice *type_out, rf_err *err)
{
    size_t size = type ? strnlen(type, RF_TYPE_SIZE_MAX + 1) : 0;

    if (size < 1 || size > RF_TYPE_SIZE_MAX || !rf_utf8_valid((rf_slice){type, size}) ||
        strcmp(type, "*") == 0)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: %s of no type: a name of 1 to %d bytes, not *",
                       evolution->name, what, RF_TYPE_SIZE_MAX);
    *type_out = rf_arena_copy(&evolution->arena, (rf_slice){type, size});
    return type_out->data ? RF_OK : no_memory(evolution, err);
}

static bool schema_valid(int64_t schema)
{
    return schema >= 1 && schema < RF_SCHEMA_MAX;
}

/* ---- renames ---- */

static int compare_renames(const void *left, const void *right)
{
    const struct rename *a = left;
    const struct rename *b = right;

    return rf_slice_compare(a->from, b->from);
}

static const struct rename *find_rename(const rf_evolution *evolution, rf_slice type)
{
    const struct rename wanted = {.from = type};

    return evolution->rename_count == 0
               ? NULL
               : bsearch(&wanted, evolution->renames, evolution->rename_count,
                         sizeof *evolution->renames, compare_renames);
}

/* Follows one rename to the end; as many steps as there are renames is a loop. */
static rf_status follow(const rf_evolution *evolution, const struct rename *from, rf_slice *end_out,
                        rf_err *err)
{
    rf_slice name = from->to;
    const struct rename *next;

    for (uint32_t i = 0; (next = find_rename(evolution, name)) != NULL; i++) {
        if (i == evolution->rename_count)
            return rf_fail(err, RF_ERR_PLUGIN, "%s: rename of %.*s: it comes back to %.*s",
                           evolution->name, (int)from->from.size, from->from.data, (int)name.size,
                           name.data);
        name = next->to;
    }
    *end_out = name;
    return RF_OK;
}

static rf_status take_renames(rf_evolution *evolution, const rf_evolution_tables *tables,
                              rf_err *err)
{
    uint32_t count = tables->rename_count;
    struct rename *renames = rf_arena_alloc(&evolution->arena, count * sizeof *renames);
    rf_slice *ends = rf_arena_alloc(&evolution->arena, count * sizeof *ends);
    rf_status status = renames && ends ? RF_OK : no_memory(evolution, err);

    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        status = take_type(evolution, tables->renames[i].from, "rename", &renames[i].from, err);
        if (status == RF_OK)
            status = take_type(evolution, tables->renames[i].to, "rename", &renames[i].to, err);
    }
    if (status != RF_OK)
        return status;
    if (count > 1)
        qsort(renames, count, sizeof *renames, compare_renames);
    evolution->renames = renames;
    evolution->rename_count = count;
    for (uint32_t i = 1; i < count; i++)
        if (compare_renames(&renames[i - 1], &renames[i]) == 0)
            return rf_fail(err, RF_ERR_PLUGIN, "%s: %.*s is renamed twice", evolution->name,
                           (int)renames[i].from.size, renames[i].from.data);
    for (uint32_t i = 0; status == RF_OK && i < count; i++)
        status = follow(evolution, &renames[i], &ends[i], err);
    for (uint32_t i = 0; status == RF_OK && i < count; i++)
        renames[i].to = ends[i];
    return status;
}

/* All but renames is declared of today's names. */
static rf_status check_name_of_today(const rf_evolution *evolution, rf_slice type, const char *what,
                                     rf_err *err)
{
    const struct rename *rename = find_rename(evolution, type);

    if (rename)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: %s of %.*s, which is renamed to %.*s; name that",
                       evolution->name, what, (int)type.size, type.data, (int)rename->to.size,
                       rename->to.data);
    return RF_OK;
}

/* ---- accepted schemas ---- */

static int compare_accepted(const void *left, const void *right)
{
    const struct accepted *a = left;
    const struct accepted *b = right;
    int order = rf_slice_compare(a->type, b->type);

    return order ? order : (a->schema > b->schema) - (a->schema < b->schema);
}

static rf_status take_accepted(rf_evolution *evolution, const rf_evolution_tables *tables,
                               rf_err *err)
{
    uint32_t count = 0;
    uint32_t taken = 0;

    for (uint32_t i = 0; i < tables->accepted_count; i++) {
        if (tables->accepted[i].schema_count > RF_EVOLUTION_ENTRIES_MAX - count)
            return rf_fail(err, RF_ERR_PLUGIN, "%s: more than %d accepted schemas",
                           evolution->name, RF_EVOLUTION_ENTRIES_MAX);
        count += tables->accepted[i].schema_count;
    }
    struct accepted *accepted = rf_arena_alloc(&evolution->arena, count * sizeof *accepted);
    if (!accepted)
        return no_memory(evolution, err);
    for (uint32_t i = 0; i < tables->accepted_count; i++) {
        const rf_accepted *entry = &tables->accepted[i];
        rf_slice type;
        rf_status status = take_type(evolution, entry->type, "schemas", &type, err);
        if (status == RF_OK)
            status = check_name_of_today(evolution, type, "schemas", err);
        if (status != RF_OK)
            return status;
        for (uint32_t k = 0; k < entry->schema_count; k++) {
            if (!schema_valid(entry->schemas[k]))
                return rf_fail(err, RF_ERR_PLUGIN, "%s: schemas of %.*s: %lld is no schema",
                               evolution->name, (int)type.size, type.data,
                               (long long)entry->schemas[k]);
            accepted[taken++] = (struct accepted){type, entry->schemas[k]};
        }
    }
    if (count > 1)
        qsort(accepted, count, sizeof *accepted, compare_accepted);
    evolution->accepted = accepted;
    evolution->accepted_count = count;
    for (uint32_t i = 1; i < count; i++)
        if (compare_accepted(&accepted[i - 1], &accepted[i]) == 0)
            return rf_fail(err, RF_ERR_PLUGIN, "%s: schema %lld of %.*s is accepted twice",
                           evolution->name, (long long)accepted[i].schema,
                           (int)accepted[i].type.size, accepted[i].type.data);
    return RF_OK;
}

/* ---- upcasters ---- */

/* Whether one of two paths is the other, or lies in it. */
static bool overlap(const rf_path *a, const rf_path *b)
{
    uint8_t shared = a->part_count < b->part_count ? a->part_count : b->part_count;

    if (a->metadata != b->metadata)
        return false;
    for (uint8_t i = 0; i < shared; i++)
        if (!rf_slice_equal(a->parts[i], b->parts[i]))
            return false;
    return true;
}

static rf_status take_assigned(rf_evolution *evolution, const rf_upcast *from,
                               rf_evolution_upcast *upcast, rf_err *err)
{
    uint32_t count = upcast->function ? from->assigned_count : from->move_count;
    rf_evolution_path *assigned = rf_arena_alloc(&evolution->arena, count * sizeof *assigned);

    if (!assigned)
        return no_memory(evolution, err);
    for (uint32_t i = 0; i < count; i++) {
        const char *path = upcast->function ? from->assigned[i] : from->moves[i].to;
        if (!path)
            return rf_fail(err, RF_ERR_PLUGIN, "%s: what it assigns has no path", evolution->name);
        rf_status status = rf_definition_take_path(&evolution->arena, evolution->name, path,
                                                   &assigned[i].path, &assigned[i].text, err);
        if (status != RF_OK)
            return status;
        for (uint32_t k = 0; k < i; k++)
            if (overlap(&assigned[k].path, &assigned[i].path))
                return rf_fail(err, RF_ERR_PLUGIN, "%s: it assigns %.*s and %.*s, which overlap",
                               evolution->name, (int)assigned[k].text.size, assigned[k].text.data,
                               (int)assigned[i].text.size, assigned[i].text.data);
    }
    upcast->assigned = assigned;
    upcast->assigned_count = count;
    return RF_OK;
}

static rf_status take_move(rf_evolution *evolution, const rf_upcast_move *from,
                           rf_evolution_move *move, rf_err *err)
{
    *move = (rf_evolution_move){
        .constant = !from->from,
        .typed = from->from && from->typed,
        .optional = from->optional,
        .fallback = from->fallback,
    };
    if (!from->from && from->fallback.kind == RF_ASSIGNED_NOT)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: a move to %s that moves nothing", evolution->name,
                       from->to);
    if (move->typed && from->kind == RF_JSON)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: a move to %s reads json", evolution->name,
                       from->to);
    if (move->constant)
        return RF_OK;
    return rf_definition_take_path(&evolution->arena, evolution->name, from->from,
                                   &move->from.path, &move->from.text, err);
}

/* The event struct of typed moves: a word and a presence each, text two words. */
static rf_status take_moves(rf_evolution *evolution, const rf_upcast *from,
                            rf_evolution_upcast *upcast, rf_err *err)
{
    rf_evolution_move *moves =
        rf_arena_alloc(&evolution->arena, from->move_count * sizeof *moves);
    rf_field *fields = rf_arena_alloc(&evolution->arena, from->move_count * sizeof *fields);
    rf_handler of = {.type = from->type, .fields = fields};
    rf_status status = moves && fields ? RF_OK : no_memory(evolution, err);

    for (uint32_t i = 0; status == RF_OK && i < from->move_count; i++) {
        status = take_move(evolution, &from->moves[i], &moves[i], err);
        if (status != RF_OK || !moves[i].typed)
            continue;
        moves[i].input = of.field_count;
        fields[of.field_count++] = (rf_field){
            .kind = from->moves[i].kind,
            .scale = from->moves[i].scale,
            .rounding = from->moves[i].rounding,
            .optional = from->moves[i].optional,
            .offset = of.event_size,
            .present_offset = of.event_size + (uint32_t)sizeof(rf_slice),
            .path = from->moves[i].from,
        };
        of.event_size += (uint32_t)sizeof(rf_slice) + (uint32_t)sizeof(uint64_t);
    }
    if (status == RF_OK)
        status = rf_definition_take_fields(&evolution->arena, evolution->name, &of,
                                           &upcast->input.fields, err);
    upcast->moves = moves;
    upcast->input.field_count = of.field_count;
    upcast->input.event_size = of.event_size;
    return status;
}

static rf_status take_function(rf_evolution *evolution, const rf_upcast *from,
                               rf_evolution_upcast *upcast, rf_err *err)
{
    const rf_handler of = {.type = from->type,
                           .fields = from->fields,
                           .field_count = from->field_count,
                           .event_size = from->event_size};

    if (!evolution->ops)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: it has neither moves nor a function",
                       evolution->name);
    if (from->field_count > RF_COLUMNS_MAX || from->assigned_count > RF_COLUMNS_MAX)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: more than %d fields", evolution->name,
                       RF_COLUMNS_MAX);
    upcast->function = true;
    upcast->input.field_count = from->field_count;
    upcast->input.event_size = (from->event_size + 7u) & ~7u;
    rf_status status = rf_definition_take_fields(&evolution->arena, evolution->name, &of,
                                                 &upcast->input.fields, err);
    for (uint32_t i = 0; status == RF_OK && i < from->field_count; i++)
        if (from->fields[i].source == RF_CARRIED)
            status = rf_fail(err, RF_ERR_PLUGIN, "%s: an upcaster reads no carried values",
                             evolution->name);
    return status;
}

static rf_status take_upcast(rf_evolution *evolution, const rf_upcast *from, uint32_t index,
                             rf_evolution_upcast *upcast, rf_err *err)
{
    *upcast = (rf_evolution_upcast){.schema = from->schema, .index = index};
    rf_status status = take_type(evolution, from->type, "upcast", &upcast->type, err);
    if (status == RF_OK)
        status = check_name_of_today(evolution, upcast->type, "upcast", err);
    if (status != RF_OK)
        return status;
    if (!schema_valid(from->schema))
        return rf_fail(err, RF_ERR_PLUGIN, "%s: upcast of %s: %lld is no schema", evolution->name,
                       from->type, (long long)from->schema);
    upcast->input.type = upcast->type;
    if (from->move_count > RF_COLUMNS_MAX)
        status = rf_fail(err, RF_ERR_PLUGIN, "%s: more than %d moves", evolution->name,
                         RF_COLUMNS_MAX);
    else if (from->move_count > 0)
        status = take_moves(evolution, from, upcast, err);
    else
        status = take_function(evolution, from, upcast, err);
    if (status == RF_OK)
        status = take_assigned(evolution, from, upcast, err);
    return status == RF_OK ? RF_OK
                           : rf_err_context(err, "upcast of %s %lld", from->type,
                                            (long long)from->schema);
}

static int compare_upcasts(const void *left, const void *right)
{
    const rf_evolution_upcast *a = left;
    const rf_evolution_upcast *b = right;
    int order = rf_slice_compare(a->type, b->type);

    return order ? order : (a->schema > b->schema) - (a->schema < b->schema);
}

static rf_status take_upcasts(rf_evolution *evolution, const rf_evolution_tables *tables,
                              rf_err *err)
{
    uint32_t count = tables->upcast_count;
    rf_evolution_upcast *upcasts = rf_arena_alloc(&evolution->arena, count * sizeof *upcasts);
    rf_status status = upcasts ? RF_OK : no_memory(evolution, err);

    for (uint32_t i = 0; status == RF_OK && i < count; i++)
        status = take_upcast(evolution, &tables->upcasts[i], i, &upcasts[i], err);
    if (status != RF_OK)
        return status;
    if (count > 1)
        qsort(upcasts, count, sizeof *upcasts, compare_upcasts);
    evolution->upcasts = upcasts;
    evolution->upcast_count = count;
    for (uint32_t i = 0; i < count; i++) {
        const rf_evolution_upcast *upcast = &upcasts[i];
        if (i > 0 && compare_upcasts(upcast - 1, upcast) == 0)
            return rf_fail(err, RF_ERR_PLUGIN, "%s: two upcasters of %.*s %lld", evolution->name,
                           (int)upcast->type.size, upcast->type.data, (long long)upcast->schema);
        if (rf_evolution_accepts(evolution, upcast->type, upcast->schema))
            return rf_fail(err, RF_ERR_PLUGIN,
                           "%s: schema %lld of %.*s has an upcaster and is accepted as it is",
                           evolution->name, (long long)upcast->schema, (int)upcast->type.size,
                           upcast->type.data);
    }
    return RF_OK;
}

/* ---- the whole ---- */

rf_status rf_evolution_new(const rf_evolution_tables *tables, rf_evolution **evolution_out,
                           rf_err *err)
{
    rf_evolution *evolution = calloc(1, sizeof *evolution);

    RF_ASSERT(tables && evolution_out);
    if (!evolution)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for an evolution");
    rf_arena_init(&evolution->arena, ARENA_BYTES_MAX);
    evolution->name =
        rf_arena_copy(&evolution->arena, rf_slice_of(tables->name ? tables->name : "evolution"))
            .data;
    evolution->ops = tables->ops;
    evolution->ops_arg = tables->ops_arg;
    rf_status status = RF_OK;
    if (!evolution->name)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for an evolution");
    else if (tables->rename_count > RF_EVOLUTION_ENTRIES_MAX ||
             tables->upcast_count > RF_EVOLUTION_ENTRIES_MAX)
        status = rf_fail(err, RF_ERR_PLUGIN, "%s: more than %d renames or upcasters",
                         evolution->name, RF_EVOLUTION_ENTRIES_MAX);
    if (status == RF_OK)
        status = take_renames(evolution, tables, err);
    if (status == RF_OK)
        status = take_accepted(evolution, tables, err);
    if (status == RF_OK)
        status = take_upcasts(evolution, tables, err);
    if (status != RF_OK) {
        rf_evolution_free(evolution);
        return status;
    }
    *evolution_out = evolution;
    return RF_OK;
}

void rf_evolution_free(rf_evolution *evolution)
{
    if (!evolution)
        return;
    rf_arena_free(&evolution->arena);
    free(evolution);
}

/* ---- questions ---- */

rf_slice rf_evolution_type(const rf_evolution *evolution, rf_slice stored)
{
    const struct rename *rename = evolution ? find_rename(evolution, stored) : NULL;

    return rename ? rename->to : stored;
}

bool rf_evolution_accepts(const rf_evolution *evolution, rf_slice type, int64_t schema)
{
    const struct accepted wanted = {type, schema};

    return evolution && evolution->accepted_count > 0 &&
           bsearch(&wanted, evolution->accepted, evolution->accepted_count,
                   sizeof *evolution->accepted, compare_accepted) != NULL;
}

static const rf_evolution_upcast *find_upcast(const rf_evolution *evolution, rf_slice type,
                                              int64_t schema)
{
    const rf_evolution_upcast wanted = {.type = type, .schema = schema};

    return evolution->upcast_count == 0
               ? NULL
               : bsearch(&wanted, evolution->upcasts, evolution->upcast_count,
                         sizeof *evolution->upcasts, compare_upcasts);
}

int64_t rf_evolution_current(const rf_evolution *evolution, rf_slice type)
{
    int64_t current = 0;

    if (!evolution)
        return 0;
    for (uint32_t i = 0; i < evolution->upcast_count; i++)
        if (rf_slice_equal(evolution->upcasts[i].type, type) &&
            evolution->upcasts[i].schema >= current)
            current = evolution->upcasts[i].schema + 1;
    for (uint32_t i = 0; i < evolution->accepted_count; i++)
        if (rf_slice_equal(evolution->accepted[i].type, type) &&
            evolution->accepted[i].schema > current)
            current = evolution->accepted[i].schema;
    return current;
}

rf_evolution_chain rf_evolution_chain_of(const rf_evolution *evolution, rf_slice type,
                                         int64_t schema)
{
    rf_evolution_chain chain = {.schema = schema};
    int64_t current = rf_evolution_current(evolution, type);

    if (current == 0)
        return chain;
    while (!rf_evolution_accepts(evolution, type, chain.schema)) {
        const rf_evolution_upcast *step = find_upcast(evolution, type, chain.schema);
        if (!step)
            break;
        if (chain.count == 0)
            chain.steps = step;
        RF_ASSERT(step == chain.steps + chain.count); /* neighbours, as they are sorted */
        chain.count++;
        chain.schema++;
    }
    chain.broken =
        chain.schema != current && !rf_evolution_accepts(evolution, type, chain.schema);
    return chain;
}

const rf_evolution_upcast *rf_evolution_upcasts(const rf_evolution *evolution, uint32_t *count_out)
{
    *count_out = evolution ? evolution->upcast_count : 0;
    return evolution ? evolution->upcasts : NULL;
}

const rf_upcast_ops *rf_evolution_ops(const rf_evolution *evolution, void **arg_out)
{
    *arg_out = evolution->ops_arg;
    return evolution->ops;
}

/* ---- a definition and its evolution ---- */

rf_hash128 rf_evolution_hash(rf_hash128 definition, rf_slice identity)
{
    const struct {
        rf_hash128 definition;
        rf_hash128 evolution;
    } both = {definition, rf_hash128_of(identity)};

    return rf_hash128_of((rf_slice){(const char *)&both, sizeof both});
}

rf_status rf_definition_evolve(rf_definition *definition, rf_evolution *evolution,
                               rf_slice identity, rf_err *err)
{
    RF_ASSERT(!definition->evolution && evolution);
    definition->evolution = evolution;
    if (identity.data)
        definition->content_hash = rf_evolution_hash(definition->content_hash, identity);
    rf_status status = RF_OK;
    for (uint32_t h = 0; status == RF_OK && h < definition->handler_count; h++)
        if (!definition->handlers[h].every_type)
            status =
                check_name_of_today(evolution, definition->handlers[h].type, "handler", err);
    if (status == RF_OK)
        status = rf_trace_check(definition, evolution, err);
    return status == RF_OK ? RF_OK : rf_err_context(err, "%s", definition->name);
}
